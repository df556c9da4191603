"""`plan`: what a FineTuneJob would do, found by the trainer without training."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_api.contract.job_plan import JobPlan
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.commands.load_arguments import the_only
from tuneloop_cli.commands.validate import ask_trainer, refusal_of, what_it_said
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.kubelet.pod_plan import Folders
from tuneloop_cli.local.submission import DEFAULT_CLAIM
from tuneloop_cli.views.plan_page import plan_page
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from pathlib import Path

OUTPUTS = ("table", "json")


def show_plan(files: list[Path], *, folder: Path, output: str) -> None:
    """Print the plan of the one job in these files; ends with exit code 2 if it cannot work as it is."""
    if output not in OUTPUTS:
        raise TuneloopExit(Exit.BAD_INPUT, f"--output: {output!r} is not allowed; must be one of {', '.join(OUTPUTS)}")
    loaded = the_only("FineTuneJob", files, command="plan")
    job = loaded.resource
    assert isinstance(job, FineTuneJob)
    settings = OperatorSettings(local=True, default_claim=DEFAULT_CLAIM, progress_url="http://127.0.0.1")
    folders = Folders(root=folder.resolve())
    refused = refusal_of(loaded, folders=folders, settings=settings)
    if refused is not None:
        raise TuneloopExit(Exit.BAD_INPUT, f"{loaded.file}: {refused}")
    ended = ask_trainer("plan", job, loaded.manifest, folders=folders, settings=settings)
    if ended.returncode != 0:
        raise TuneloopExit(Exit.BAD_INPUT, f"{loaded.file}: {what_it_said(ended)}")
    found = JobPlan.from_wire(json.loads(ended.stdout))
    print(json.dumps(found.to_wire(), indent=2) if output == "json" else plan_page(loaded.name, found))
    if found.problems:
        raise TuneloopExit(Exit.BAD_INPUT)
