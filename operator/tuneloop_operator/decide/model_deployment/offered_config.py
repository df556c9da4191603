"""The configuration of the servers of one model, under the spec of now. Its revision is its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.server_config import METRICS_PORT
from tuneloop_operator.desired.model_deployment.serving import server_config
from tuneloop_operator.names import revision_name

if TYPE_CHECKING:
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_operator.desired.model_deployment.serving import ArtifactReference
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


def config_of(observed: ObservedDeployment, artifact: ArtifactReference, settings: OperatorSettings) -> ServerConfig:
    """Return the configuration to serve with: probes and metrics have a port of their own, except

    - in local mode, where a user opens one address;
    - for an image that the spec names: a server of release 0.1.0 refuses a configuration with a field that it does not know;
    - for a revision that 0.1.0 began: an upgrade of the operator replaces no server.
    """
    with_one_port = server_config(observed.deployment, artifact)
    if settings.local or observed.deployment.spec.image or _is_begun(observed, with_one_port):
        return with_one_port
    return server_config(observed.deployment, artifact, metrics_port=METRICS_PORT)


def _is_begun(observed: ObservedDeployment, config: ServerConfig) -> bool:
    name = revision_name(observed.deployment, config.revision)
    return ("ConfigMap", name) in observed.present or ("Deployment", name) in observed.present
