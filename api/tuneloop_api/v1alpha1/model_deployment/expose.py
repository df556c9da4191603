"""How clients reach a ModelDeployment: `spec.expose`."""

from __future__ import annotations

from typing import Annotated

from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule
from tuneloop_api.wire.text_formats import HEADER

NOT_STICKY = (
    "authorization",
    "x-api-key",
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
"""Headers that carry a key or the connection's state: a router does not take them."""
_OURS = ("x-envoy-", "x-tuneloop-")


class Expose(SpecModel):
    """How clients reach the servers."""

    sticky_header: Annotated[str, HEADER.text(most=64)] | None = None
    """Name of a request header in lower case: in a roll-out, requests with the same value go to the same revision, and none goes back while the share of the new revision grows.
    Applies only to `rollout.strategy: Canary`, `BlueGreen` and `Shadow`. Default: each request is on its own. For example `x-user`."""

    rules = (
        Rule(
            field="stickyHeader",
            cel=f"!has(self.stickyHeader) || !(self.stickyHeader in {list(NOT_STICKY)})"
            + "".join(f" && !self.stickyHeader.startsWith('{prefix}')" for prefix in _OURS),
            holds=lambda expose: _may_be_sticky(expose.sticky_header),
            message="must be a header of the client's own, none that carries a key or the connection's state, and none that begins with x-envoy- or x-tuneloop-; for example x-user",
        ),
    )


def _may_be_sticky(header: str | None) -> bool:
    return header is None or (header not in NOT_STICKY and not header.startswith(_OURS))
