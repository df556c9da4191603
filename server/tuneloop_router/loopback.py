"""Addresses that lead to this machine."""

from __future__ import annotations

import ipaddress


def is_loopback(address: str) -> bool:
    """Tell whether this is an IP address of this machine's loopback. A name is none."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
