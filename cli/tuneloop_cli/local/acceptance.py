"""What is refused before a session stores it: what the operator would refuse, and what this machine lacks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuneloop_cli.kinds import RESOURCES
from tuneloop_cli.local import references
from tuneloop_cli.local.errors import NotAccepted
from tuneloop_cli.local.query_needs import missing_for_queries
from tuneloop_cli.local.router_needs import missing_for_router
from tuneloop_operator.decide.accept import refusals_of

if TYPE_CHECKING:
    from tuneloop_cli.kinds import CustomKind
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings


def require_accepted(manifest: Manifest, *, settings: OperatorSettings) -> None:
    """Raise NotAccepted with what the operator and this machine refuse, before the command waits for a job that would never run."""
    kind: CustomKind = manifest["kind"]
    refused = refusals_of(RESOURCES[kind].from_wire(manifest), settings)
    missing = [*references.missing(manifest["spec"], os.environ), *missing_for_router(manifest)]
    if refusals := [*refused, *missing, *missing_for_queries(manifest)]:
        raise NotAccepted("\n".join(map(str, refusals)))
