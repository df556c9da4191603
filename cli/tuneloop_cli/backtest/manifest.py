"""The triggers of a manifest that are replayed. Pure but for the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tuneloop_api.v1alpha1.common import Duration
from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.model import MessageModel
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.manifests.load import documents
from tuneloop_cli.manifests.problems import ManifestError
from tuneloop_operator.decide.model_deployment.retraining.triggers.accept import trigger_refusals

if TYPE_CHECKING:
    from pathlib import Path

_DEFAULT_COOLDOWN = "1d"


class _Retraining(MessageModel):
    """What a replay needs of `spec.retraining`."""

    triggers: list[Trigger] | None = None
    cooldown: Duration | None = None


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A deployment and its triggers."""

    namespace: str
    name: str
    triggers: tuple[Trigger, ...]
    cooldown: float
    """Seconds from the begin of a run until the next may begin."""


def watched_in(file: Path) -> Watched:
    """Return the triggers of the only ModelDeployment of a file. Raises TuneloopExit."""
    try:
        found = [document for document, _ in documents(file) if _is_deployment(document)]
    except ManifestError as error:
        raise TuneloopExit(Exit.BAD_INPUT, str(error)) from error
    if len(found) != 1:
        raise TuneloopExit(
            Exit.BAD_INPUT, f"{file}: tuneloop backtest takes exactly one ModelDeployment; found {len(found)}"
        )
    return _watched(file, found[0])


def _is_deployment(document: Any) -> bool:
    return isinstance(document, dict) and document.get("kind") == "ModelDeployment"


def _watched(file: Path, document: dict[str, Any]) -> Watched:
    metadata, spec = document.get("metadata") or {}, document.get("spec") or {}
    try:
        retraining = _Retraining.from_wire(spec.get("retraining") or {})
    except ValidationError as error:
        lines = [f"{file}: spec.retraining.{_path(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise TuneloopExit(Exit.BAD_INPUT, "\n".join(lines)) from error
    if not retraining.triggers:
        raise TuneloopExit(
            Exit.BAD_INPUT,
            f"{file}: spec.retraining.triggers: found none; one or more are replayed, for example "
            "triggers: [{name: accuracy, type: accuracy, below: 0.9}]",
        )
    if refusals := [*trigger_refusals(retraining.triggers)]:
        raise TuneloopExit(Exit.BAD_INPUT, "\n".join(f"{file}: {refusal}" for refusal in refusals))
    return Watched(
        namespace=metadata.get("namespace") or "default",
        name=str(metadata.get("name") or ""),
        triggers=tuple(retraining.triggers),
        cooldown=seconds(retraining.cooldown or _DEFAULT_COOLDOWN),
    )


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
