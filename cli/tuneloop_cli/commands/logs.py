"""`logs`: prints the logs that the kubelet of local mode writes, one file a pod."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_cli.exits import Exit, TuneloopExit, require_choice
from tuneloop_cli.terminal import Output, say

if TYPE_CHECKING:
    from pathlib import Path

STAGES = ("prepare", "train", "export", "serve", "router", "comparator")
_SERVING = ("serve", "router", "comparator")
"""What is shown together if no stage is asked for."""
FOLLOW_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class PodLog:
    """The log of one pod."""

    path: Path
    stage: str
    changed: float
    """Time of the last line, in seconds since the epoch."""


def logs_of(name: str, folder: Path) -> list[PodLog]:
    """Return the logs of a job or deployment, the newest last."""
    own = re.escape(name)
    patterns = {
        "prepare": rf"{own}-prepare-[a-z0-9]+",
        "train": rf"{own}-a[0-9]+-[0-9]+-[a-z0-9]+",
        "export": rf"{own}-export-[a-z0-9]+",
        "serve": rf"{own}-[0-9a-f]{{8}}-[a-z0-9]{{5}}",  # hash of the revision, then the pod's random suffix
        "router": rf"{own}-router-[a-z0-9]{{5}}",
        "comparator": rf"{own}-comparator-[a-z0-9]{{5}}",
    }
    found = [
        PodLog(path=path, stage=stage, changed=path.stat().st_mtime)
        for path in folder.glob("logs/*/*.log")
        for stage, pattern in patterns.items()
        if re.fullmatch(pattern, path.stem)
    ]
    return sorted(found, key=lambda log: log.changed)


def print_logs(name: str, *, folder: Path, stage: str | None, follow: bool) -> None:
    """Print the logs of one stage, pod after pod; without a stage, of the last one, or of servers, router and comparator. With `follow`, print new lines until Ctrl-C."""
    if stage is not None:
        require_choice("--stage", stage, STAGES)
    logs = logs_of(name, folder)
    last = logs[-1].stage if logs else ""
    wanted = (stage,) if stage else _SERVING if last in _SERVING else (last,)
    chosen = [log for log in logs if log.stage in wanted]
    if not chosen:
        raise TuneloopExit(
            Exit.FAILED, f"no log of {name!r}{f' for stage {stage}' if stage else ''} in {folder / 'logs'}"
        )
    with ExitStack() as stack:
        outputs = [Output(stack.enter_context(log.path.open("rb"))) for log in chosen]
        for log, output in zip(chosen, outputs, strict=True):
            if len(chosen) > 1:
                say(f"==> {log.path.stem} <==")
            output.pass_on()
        while follow:
            time.sleep(FOLLOW_SECONDS)
            for output in outputs:
                output.pass_on()
