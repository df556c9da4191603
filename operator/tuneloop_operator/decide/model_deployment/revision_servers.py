"""The Deployment of the revision that the spec asks for. An upgrade of the operator replaces no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.desired.model_deployment.serving import server_deployment
from tuneloop_operator.names import CHECK_CONTAINER, SERVER_CONTAINER, revision_name

if TYPE_CHECKING:
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


def revision_servers(
    observed: ObservedDeployment, config: ServerConfig, *, settings: OperatorSettings, is_on_trial: bool = False
) -> Manifest:
    """Return the Deployment, for which another template would replace servers that run:

    - servers of a release that did not spread them over the nodes stay where they are;
    - before servers of another image, the artifact is checked by the image that did it first;
    - servers on trial keep the image of which all evidence is. They get the operator's after the promotion.

    is_on_trial: whether a roll-out compares the revision with stable, whose servers stay as they are, too.
    """
    stored = observed.present.get(("Deployment", revision_name(observed.deployment, config.revision)))
    pod = stored["spec"]["template"]["spec"] if stored else {}
    is_spread = stored is None or "topologySpreadConstraints" in pod
    if is_on_trial and pod:
        settings = _with_image_of(pod, settings)
    checks = [found["image"] for found in pod.get("initContainers") or () if found["name"] == CHECK_CONTAINER]
    return server_deployment(
        observed.deployment,
        config,
        settings=settings,
        is_spread=is_spread,
        check_image=checks[0] if checks else settings.server_image,
    )


def _with_image_of(pod: Manifest, settings: OperatorSettings) -> OperatorSettings:
    """Return the settings with the image of the server in a pod."""
    server = next(found for found in pod["containers"] if found["name"] == SERVER_CONTAINER)
    kept = {"server_image": server["image"], "image_pull_policy": server.get("imagePullPolicy")}
    return settings.model_copy(update=kept)
