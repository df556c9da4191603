"""How a ModelDeployment serves on this machine, for a console that follows it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tuneloop_cli.views.values import at

if TYPE_CHECKING:
    from tuneloop_cli.views.values import Manifest

_IN_A_CLUSTER = ".svc"
"""End of the host in the address of a Service."""


def local_url(deployment: Manifest) -> str | None:
    """Return the address on this machine; None as long as no process has one: the status then has the address of a cluster."""
    url: str | None = at(deployment, "status.url")
    return None if url is None or (urlsplit(url).hostname or "").endswith(_IN_A_CLUSTER) else url


def is_ready(deployment: Manifest) -> bool:
    """Whether the condition Ready is true."""
    return bool(at(deployment, "status.conditions[Ready].status") == "True")


def is_asleep(deployment: Manifest) -> bool:
    """Whether a deployment is ready because no servers are asked for."""
    return bool(at(deployment, "status.conditions[Ready].reason") == "ScaledToZero")


def change_of(deployment: Manifest) -> object:
    """Return what differs from the version before if there is news; None if the status has no sentence yet.

    On the way each sentence is news. Once the deployment is ready, only a new stage of the roll-out and another revision are: its sentence counts the time.
    """
    message = at(deployment, "status.conditions[Ready].message")
    if not message or not is_ready(deployment):
        return message or None
    return at(deployment, "status.rollout.phase"), at(deployment, "status.stable.revision"), is_asleep(deployment)
