"""The views of a ModelDeployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.conditions import conditions
from tuneloop_cli.views.failure import failure_lines
from tuneloop_cli.views.kind_view import KindView
from tuneloop_cli.views.lines import field, pairs, section
from tuneloop_cli.views.retraining import retraining_lines
from tuneloop_cli.views.rollout import rollout_lines
from tuneloop_cli.views.serving import local_url
from tuneloop_cli.views.values import Manifest, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_NO_DIGEST = "not recorded; servers check the one that spec.model.digest names"
"""Of an artifact at `model.uri`: the operator reads no artifacts."""


def deployment_page(deployment: Manifest, now: datetime) -> Iterator[str]:
    """Yield the body of the page."""
    yield field("Ready", at(deployment, "status.ready"))
    yield field("URL", local_url(deployment))
    yield from section("Failure", failure_lines(at(deployment, "status.failure")))
    yield from section("Stable", pairs(_shown(at(deployment, "status.stable"))))
    yield from section("Failure of stable", failure_lines(at(deployment, "status.stable.failure")))
    yield from section("Canary", pairs(_shown(at(deployment, "status.canary"))))
    yield from section("Roll-out", rollout_lines(deployment))
    yield from section("Retraining", retraining_lines(deployment))
    yield from section("Conditions", conditions(deployment, now))


def _shown(revision: Manifest | None) -> Manifest | None:
    """Return a revision without what has a section of its own, and with words for a digest that nobody has named."""
    if not revision:
        return None
    known = {name: value for name, value in revision.items() if name != "failure"}
    return known if known.get("digest") else known | {"digest": _NO_DIGEST}


def deployment_line(deployment: Manifest) -> str:
    """Return one line of the present state: phase, a new revision with its share of the requests, address on this machine."""
    parts = (at(deployment, "status.phase"), at(deployment, "status.rollout.share"), local_url(deployment))
    return "  ".join(str(part) for part in parts if part)


MODEL_DEPLOYMENT = KindView(
    words=("mdep", "modeldeployment", "modeldeployments"),
    columns=(
        ("PHASE", "status.phase"),
        ("STABLE", "status.stable.revision"),
        ("CANARY", "status.rollout.share"),
        ("READY", "status.ready"),
        ("REASON", "status.conditions[Ready].reason"),
        ("RETRAINING", "status.retraining.state"),
    ),
    wide=(("FAILURE", "status.failure.class"), ("RETRAINING-WHY", "status.retraining.message"), ("URL", "status.url")),
    page=deployment_page,
    line=deployment_line,
    restart="tuneloop serve -f … starts it again",
)
