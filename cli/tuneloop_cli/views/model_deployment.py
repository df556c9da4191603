"""The views of a ModelDeployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.conditions import conditions
from tuneloop_cli.views.kind_view import KindView
from tuneloop_cli.views.lines import field, pair, pairs, section
from tuneloop_cli.views.values import Manifest, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def deployment_page(deployment: Manifest, now: datetime) -> Iterator[str]:
    """Yield the body of the page."""
    yield field("Ready", at(deployment, "status.ready"))
    yield field("URL", at(deployment, "status.url"))
    yield from section("Stable", pairs(at(deployment, "status.stable")))
    yield from section("Canary", pairs(at(deployment, "status.canary")))
    yield from section("Roll-out", _rollout(at(deployment, "status.rollout") or {}))
    yield from section("Conditions", conditions(deployment, now))


def _rollout(rollout: Manifest) -> Iterator[str]:
    """Yield where the roll-out is, and which revisions are not offered again."""
    yield from pair("phase", rollout.get("phase"))
    yield from pair("why", rollout.get("message"))
    for rejected in rollout.get("rejected") or ():
        yield from pair("rejected", f"{rejected['revision']}, {rejected['reason']}: {rejected['message']}")


def deployment_line(deployment: Manifest) -> str:
    """Return one line of the present state: phase and address."""
    return f"{at(deployment, 'status.phase')}  {at(deployment, 'status.url') or ''}"


MODEL_DEPLOYMENT = KindView(
    words=("mdep", "modeldeployment", "modeldeployments"),
    columns=(
        ("PHASE", "status.phase"),
        ("STABLE", "status.stable.revision"),
        ("CANARY", "status.rollout.share"),
        ("READY", "status.ready"),
        ("REASON", "status.conditions[Ready].reason"),
    ),
    wide=(("URL", "status.url"),),
    page=deployment_page,
    line=deployment_line,
    restart="tuneloop serve -f … starts it again",
)
