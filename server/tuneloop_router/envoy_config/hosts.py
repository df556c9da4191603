"""Which Host a port answers to. One on loopback is for programs of this machine: a web page must not reach it by a name that it makes point there.

A model server on loopback has the same rule, and knows its own port only: so what is passed on gets the Host of the server that it goes to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_router.loopback import is_loopback

if TYPE_CHECKING:
    from tuneloop_router.envoy_config.typed import Json

_NAMES = ("localhost", "127.0.0.1", "[::1]")
_REFUSED = "Host: this port is for programs of this machine, as 127.0.0.1"


def own_hosts(host: str, port: int) -> tuple[str, ...]:
    """Return the values of Host that a port answers to; empty: to all, as other machines reach it by names that nobody here knows."""
    if not is_loopback(host):
        return ()
    names = dict.fromkeys((*_NAMES, f"[{host}]" if ":" in host else host))
    return tuple(f"{name}:{port}" for name in names)


def virtual_hosts(name: str, routes: list[Json], hosts: tuple[str, ...], **fields: Any) -> list[Json]:
    """Return the virtual hosts of a port: one that answers to these values of Host, and one that answers 403 to all others.

    `fields` are of both: a filter that is off by them must not answer in the place of the 403.
    """
    answering = {"name": name, "domains": list(hosts) or ["*"], "routes": routes, **fields}
    if not hosts:
        return [answering]
    refusal = {"match": {"prefix": "/"}, "direct_response": {"status": 403, "body": {"inline_string": _REFUSED}}}
    return [answering, {"name": "other-hosts", "domains": ["*"], "routes": [refusal], **fields}]
