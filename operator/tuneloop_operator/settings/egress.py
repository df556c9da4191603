"""Where the pods of jobs and deployments may connect to: `children.networkPolicy.egress` of the chart."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from tuneloop_api.wire.model import SpecModel


def _network(value: str) -> str:
    return str(ip_network(value))


_Network = Annotated[str, AfterValidator(_network)]
_Port = Annotated[int, Field(ge=1, le=65535)]


class Destination(SpecModel):
    """Addresses and ports that pods may connect to. Without `cidr` and `namespace`: all addresses; without `ports`: all ports."""

    cidr: _Network | None = None
    except_: list[_Network] | None = Field(None, alias="except", min_length=1)
    """Networks inside `cidr` that stay closed."""
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)] | None = None
    """Namespace of the cluster with the pods that are reached."""
    ports: Annotated[list[_Port], Field(min_length=1)] | None = None
    """TCP ports."""

    @model_validator(mode="after")
    def _is_a_place(self) -> Self:
        if self.cidr is None and self.namespace is None and self.ports is None:
            raise ValueError("one of cidr, namespace and ports must be given: an empty item would allow everything")
        if self.cidr is not None and self.namespace is not None:
            raise ValueError("cidr and namespace must stand in two items")
        if self.except_ is not None and not (self.cidr and all(_is_inside(hole, self.cidr) for hole in self.except_)):
            raise ValueError("the networks of except must be parts of cidr: the API server refuses others")
        return self


def _is_inside(hole: str, cidr: str) -> bool:
    inner, outer = ip_network(hole), ip_network(cidr)
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner != outer and inner.subnet_of(outer)
    if isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network):
        return inner != outer and inner.subnet_of(outer)
    return False
