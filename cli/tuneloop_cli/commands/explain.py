"""`explain`: why a ModelDeployment of the folder is trained again, or is not; no lock is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.commands.get import find, kind_named
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.terminal import say
from tuneloop_cli.views.lines import section
from tuneloop_cli.views.retraining import retraining_lines, retraining_story

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_cli.kinds import CustomKind
    from tuneloop_operator.cluster import Manifest

_KIND: CustomKind = "ModelDeployment"


def explain(target: str, *, folder: Path) -> None:
    """Print one line, then the details. Raises TuneloopExit for another kind, or if there is no such deployment.

    target: `mdep/NAME`, or the name alone.
    """
    word, _, rest = target.rpartition("/")
    if word and kind_named(word) != _KIND:
        raise TuneloopExit(
            Exit.BAD_INPUT, f"explain: found {target!r}; only a {_KIND} retrains; for example mdep/reviews"
        )
    say(explained(rest, find(folder, _KIND, rest)))


def explained(name: str, deployment: Manifest) -> str:
    """Return the text about a deployment."""
    return "\n".join([f"{name}: {retraining_story(deployment)}", *section("Retraining", retraining_lines(deployment))])
