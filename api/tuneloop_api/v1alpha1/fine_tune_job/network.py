"""How the ranks of a gang reach each other: `spec.network`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from tuneloop_api.wire.model import SpecModel, without_nulls
from tuneloop_api.wire.text_formats import INTERFACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1.pod_env import EnvVariable

NCCL_INTERFACE, GLOO_INTERFACE = "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"
_NAME = re.compile("NCCL_[A-Z0-9_]{1,250}")
_RESERVED = {
    NCCL_INTERFACE: "network.interface sets it, for gloo too",
    "NCCL_COMM_ID": "the ranks find each other through the rendezvous of their attempt",
}
_EXAMPLE = "NCCL_IB_HCA: mlx5"


class Network(SpecModel):
    """How the ranks of a gang reach each other. Nothing here changes what is computed."""

    interface: Annotated[str, INTERFACE.text(most=15)] | None = None
    """Network interface of the training pods over which NCCL and gloo connect the ranks. Default: they choose. For example `net1`."""
    # a CEL rule over the keys of a map would exceed the API server's budget: the operator checks the keys
    nccl_env: (
        Annotated[
            dict[str, Annotated[str, StringConstraints(max_length=1024)]],
            Field(max_length=32),
            BeforeValidator(without_nulls),
        ]
        | None
    ) = None
    """Variables of NCCL in the training pods, each also refused in `env`. Default: none. For example `{NCCL_IB_HCA: mlx5, NCCL_DEBUG: INFO}`."""


@dataclass(frozen=True, kw_only=True)
class NetworkRefusal:
    """A variable that cannot be set, and why."""

    field: str
    name: str
    allowed: str
    """What is allowed, as part of a sentence."""
    example: str


def refused_network(network: Network, env: list[EnvVariable]) -> Iterator[NetworkRefusal]:
    """Yield the names that are not NCCL's, that are ours, or that stand in `env` too."""
    places = {variable.name: f"env[{number}]" for number, variable in enumerate(env)}
    for name in network.nccl_env or {}:
        allowed = ""
        if why := _RESERVED.get(name):
            allowed = f"any other variable of NCCL is allowed: {why}"
        elif not _NAME.fullmatch(name):
            allowed = (
                "must be a variable of NCCL: NCCL_ with capital letters, digits and _; other variables stand in env"
            )
        elif name in places:
            allowed = f"each variable is named once; {places[name]} has this name, too"
        if allowed:
            yield NetworkRefusal(field="network.ncclEnv", name=name, allowed=allowed, example=_EXAMPLE)
    for name in (NCCL_INTERFACE, GLOO_INTERFACE) if network.interface else ():
        if name in places:
            allowed = "network.interface sets this variable; leave one of the two out"
            yield NetworkRefusal(
                field=f"{places[name]}.name", name=name, allowed=allowed, example="network: {interface: net1} alone"
            )
