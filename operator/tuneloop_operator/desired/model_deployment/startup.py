"""How long a server may take to load its model, where the spec does not say so. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.durations import seconds

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

DEFAULT = "10m"
_BYTES_PER_SECOND = 20_000_000
"""Of the slowest way from the storage into memory, hash included. Measured with 13 programs on two cores: 265 MB/s out of the page cache. The rest is
for storage: volumes of clouds and shared file systems begin at 50 to 125 MB/s, and several servers may read at a time."""


def default_startup_seconds(size_bytes: int | None, *, stored: Manifest | None) -> int:
    """Return the seconds for an artifact of this size: the default, and more for more than 12 GB. size_bytes: None if it is not known.

    stored: the Deployment of the revision, if there is one. It keeps the time that it was begun with: another one would replace its servers.
    """
    least = seconds(DEFAULT)
    if stored is not None:
        return max(least, _stored_seconds(stored))
    return least if size_bytes is None else max(least, -(-size_bytes // _BYTES_PER_SECOND))


def _stored_seconds(servers: Manifest) -> int:
    """Return the seconds in the probe of a Deployment's servers, which asks once a second; 0 if it has none."""
    containers = servers["spec"]["template"]["spec"]["containers"]
    failures: int = (containers[0].get("startupProbe") or {}).get("failureThreshold", 0)
    return failures
