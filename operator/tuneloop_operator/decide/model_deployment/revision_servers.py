"""The Deployment of the revision that the spec asks for. An upgrade of the operator replaces no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.desired.model_deployment.serving import server_deployment
from tuneloop_operator.names import CHECK_CONTAINER, revision_name

if TYPE_CHECKING:
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


def revision_servers(observed: ObservedDeployment, config: ServerConfig, *, settings: OperatorSettings) -> Manifest:
    """Return the Deployment, for which another template would replace servers that run:

    - servers of a release that did not spread them over the nodes stay where they are;
    - before servers of another image, the artifact is checked by the image that did it first.
    """
    stored = observed.present.get(("Deployment", revision_name(observed.deployment, config.revision)))
    pod = stored["spec"]["template"]["spec"] if stored else {}
    is_spread = stored is None or "topologySpreadConstraints" in pod
    checks = [found["image"] for found in pod.get("initContainers") or () if found["name"] == CHECK_CONTAINER]
    return server_deployment(
        observed.deployment,
        config,
        settings=settings,
        is_spread=is_spread,
        check_image=checks[0] if checks else settings.server_image,
    )
