"""The environment of our containers: our own variables, the administrator's, and those of the object. A secret is a reference here, never a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.fine_tune_job.network import GLOO_INTERFACE, NCCL_INTERFACE, refused_network
from tuneloop_api.v1alpha1.pod_env import reserved
from tuneloop_api.wire.names import SECRET_VARIABLES
from tuneloop_operator.desired.common.volumes import trusted_variables
from tuneloop_operator.settings.pod_defaults import PodDefaults

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_api.v1alpha1.fine_tune_job.network import Network
    from tuneloop_api.v1alpha1.pod_env import EnvVariable
    from tuneloop_api.v1alpha1.pods import PodOptions
    from tuneloop_operator.settings.operator import OperatorSettings


def environment(
    ours: list[dict[str, Any]], options: PodOptions, settings: OperatorSettings, *, hides_secrets: bool = False
) -> list[dict[str, Any]]:
    """Return the variables of a container. Ours stay; the object's win over the administrator's.

    Ours come first, so that `$(POD_NAME)` in a later value stands for its value, as in Kubernetes.
    hides_secrets: a further variable names those that hold secrets. The program keeps their values out of the status.
    """
    defaults = settings.pod_defaults or PodDefaults()
    names = {variable["name"] for variable in ours}
    given_by_all = [*trusted_variables(settings), *(defaults.env or ()), *(options.env or ())]
    chosen = {variable.name: variable for variable in given_by_all}
    # a reserved name is refused; a stored object may have it all the same
    given = [variable for name, variable in chosen.items() if name not in names and not reserved(name)]
    secret = _secret_names(given) if hides_secrets else []
    names_of_secrets = [{"name": SECRET_VARIABLES, "value": ",".join(secret)}] if secret else []
    return [*ours, *names_of_secrets, *map(_for_the_kubelet, given)]


def from_secret(name: str, *, secret: str, key: str, is_optional: bool = False) -> dict[str, Any]:
    """Return a variable whose value the kubelet reads from a Secret. is_optional: the pod starts without it where the key is missing."""
    reference = {"name": secret, "key": key} | ({"optional": True} if is_optional else {})
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def network_variables(network: Network | None) -> list[dict[str, Any]]:
    """Return the variables by which NCCL and gloo find their interface, and those of NCCL that the object sets."""
    if network is None:
        return []
    refused = {refusal.name for refusal in refused_network(network, [])}  # a stored object may have such a name
    own = {name: value for name, value in (network.nccl_env or {}).items() if name not in refused}
    if network.interface:
        # without `=`, NCCL takes every interface whose name begins so
        own = {NCCL_INTERFACE: f"={network.interface}", GLOO_INTERFACE: network.interface} | own
    return [{"name": name, "value": value} for name, value in own.items()]


def _secret_names(variables: Iterable[EnvVariable]) -> list[str]:
    return [variable.name for variable in variables if variable.secret_key_ref]


def _for_the_kubelet(variable: EnvVariable) -> dict[str, Any]:
    """Return the variable as Kubernetes writes it: a reference stands under `valueFrom`."""
    wire = variable.to_wire()
    name = wire.pop("name")
    return {"name": name} | (wire if "value" in wire else {"valueFrom": wire})
