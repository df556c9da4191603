"""The Deployment of the revision that the spec asks for. An upgrade of the operator replaces no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.desired.model_deployment.serving import server_deployment
from tuneloop_operator.names import revision_name

if TYPE_CHECKING:
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


def revision_servers(observed: ObservedDeployment, config: ServerConfig, *, settings: OperatorSettings) -> Manifest:
    """Return the Deployment. Servers of a release that did not spread them over the nodes stay where they are: another template would replace them."""
    stored = observed.present.get(("Deployment", revision_name(observed.deployment, config.revision)))
    is_spread = stored is None or "topologySpreadConstraints" in stored["spec"]["template"]["spec"]
    return server_deployment(observed.deployment, config, settings=settings, is_spread=is_spread)
