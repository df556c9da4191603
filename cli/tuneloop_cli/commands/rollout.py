"""`rollout`: steer the roll-out of a ModelDeployment that a session of this folder runs, or show it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tuneloop_cli.commands.get import WATCH_SECONDS, find
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.cluster.lock import has_session
from tuneloop_cli.local.door import steer
from tuneloop_cli.steering import command_text, fitting, kubectl_command, meant, missing_rollouts
from tuneloop_cli.terminal import say
from tuneloop_cli.views.kinds import view_of
from tuneloop_cli.views.lines import pair, section
from tuneloop_cli.views.rollout import rollout_lines, rollout_story
from tuneloop_cli.views.values import at, utc_now
from tuneloop_operator.decide.model_deployment.rollout.state import IDLE

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_operator.cluster import Manifest

_OBEYED_SECONDS = 60.0
"""The operator obeys within a second, on a machine that is not busy."""
_PAUSE_SECONDS = 0.05


def steer_rollout(verb: str, name: str, *, folder: Path, wait: bool) -> None:
    """Give a command to the session that runs the deployment; print what follows in one line.

    Raises TuneloopExit: FAILED without such a deployment or session, DOES_NOT_FIT if the roll-out is elsewhere.
    """
    deployment, now = _running(verb, name, folder), utc_now()
    revision = meant(deployment, verb, now=now)
    command = command_text(verb, revision=revision, now=now)
    if problem := missing_rollouts(deployment) or steer(folder, name=name, command=command):
        raise TuneloopExit(Exit.DOES_NOT_FIT, problem)
    if not wait:
        say(f"{name}: {verb} of {revision} is asked for")
        return
    say(f"{name}: {verb} of {revision}: {rollout_story(_obeyed(name, command, folder=folder))}")


def show_rollout(name: str, *, folder: Path, watch: bool) -> None:
    """Print the roll-out. With `watch`, print a line at each change until nothing is on its way; then FAILED if the new revision was rejected."""
    deployment, printed = _running("status", name, folder), ""
    if problem := missing_rollouts(deployment):
        raise TuneloopExit(Exit.DOES_NOT_FIT, problem)
    while watch and not _is_over(deployment):
        if (line := rollout_story(deployment)) != printed:
            printed = line
            say(line)
        time.sleep(WATCH_SECONDS)
        deployment = _running("status", name, folder)
    lines = [*rollout_lines(deployment), *pair("fits", ", ".join(fitting(deployment, now=utc_now())) or None)]
    say("\n".join(section(f"Roll-out of {name}", lines)))
    if watch and at(deployment, "status.rollout.phase") != "Done":
        raise TuneloopExit(Exit.FAILED)


def _running(verb: str, name: str, folder: Path) -> Manifest:
    """Return the deployment as a session has it. Raises TuneloopExit if there is none, with what to do on a cluster, or no session: its roll-out ended with it."""
    try:
        deployment = find(folder, "ModelDeployment", name)
    except TuneloopExit as ended:
        command = command_text(verb, revision="", now=utc_now())
        advice = f"kubectl describe mdep {name}" if verb == "status" else kubectl_command(name, command)
        raise TuneloopExit(ended.code, f"{ended.message}. On a cluster: {advice}") from ended
    if not has_session(folder):
        raise TuneloopExit(Exit.FAILED, f"no session runs in {folder}: {view_of(deployment).restart}")
    return deployment


def _obeyed(name: str, command: str, *, folder: Path) -> Manifest:
    """Return the deployment once the operator has obeyed: it remembers the command in the same write as its effect."""
    deadline = time.monotonic() + _OBEYED_SECONDS
    while time.monotonic() < deadline:
        deployment = _running("status", name, folder)
        if command in (at(deployment, "status.rollout.commands") or ()):
            return deployment
        time.sleep(_PAUSE_SECONDS)
    raise TuneloopExit(Exit.FAILED, f"the operator has not obeyed {command} within {_OBEYED_SECONDS:.0f} s")


def _is_over(deployment: Manifest) -> bool:
    """Whether nothing is on its way, as seen by the operator after the newest change of the spec."""
    is_seen = at(deployment, "status.observedGeneration") == deployment["metadata"].get("generation")
    return is_seen and at(deployment, "status.rollout.phase") in IDLE
