"""Where Prometheus is, and whether a token may go there. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address

ALLOWED = "an http or https address without user, password, query and fragment; a path may follow"
EXAMPLE = "http://prometheus.monitoring.svc:9090"
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?P<path>(?:/[A-Za-z0-9._~-]+)*)/?"
)
"""Narrow on purpose: no two parsers read such an address differently."""


def checked_address(text: str) -> str:
    """Return the address without a slash at its end. Raises ValueError."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"] or 1) <= 65535:
        raise ValueError(f"allowed is {ALLOWED}, for example {EXAMPLE}")
    return text.removesuffix("/")


def may_get_token(address: str) -> bool:
    """Whether a token may be sent to this address: nobody on the way can read it."""
    found = _ADDRESS.fullmatch(address)
    return found is not None and (found["scheme"] == "https" or _is_loopback(found["host"]))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
