"""`plan`: prints what a FineTuneJob would do, as the trainer finds it without training."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_api.contract.job_plan import JobPlan
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.model import changed
from tuneloop_cli.commands.known_objects import known_objects
from tuneloop_cli.commands.load_arguments import only_manifest
from tuneloop_cli.commands.validate import error_output, local_settings, refusal_of, run_trainer, with_known_base
from tuneloop_cli.exits import Exit, TuneloopExit, require_choice
from tuneloop_cli.local.errors import NotAccepted
from tuneloop_cli.local.kubelet.pod_plan import Folders
from tuneloop_cli.terminal import say
from tuneloop_cli.views.challenger_power import comparison_notes
from tuneloop_cli.views.plan_page import plan_page

if TYPE_CHECKING:
    from pathlib import Path

OUTPUTS = ("table", "json")


def show_plan(files: list[Path], *, folder: Path, output: str) -> None:
    """Print the plan of the only job in these files. Exit code 2: the job cannot run as it is."""
    require_choice("--output", output, OUTPUTS)
    loaded = only_manifest("FineTuneJob", files, command="plan")
    settings = local_settings()
    folders = Folders(root=folder.resolve())
    known = known_objects([loaded], folders=folders)
    refusal = refusal_of(loaded, folders=folders, settings=settings, known=known)
    if refusal is not None:
        raise TuneloopExit(Exit.BAD_INPUT, f"{loaded.file}: {refusal}")
    try:
        manifest = with_known_base(loaded.manifest, known=known)
    except NotAccepted as waits:
        raise TuneloopExit(Exit.BAD_INPUT, f"{loaded.file}: {waits}") from waits
    job = FineTuneJob.from_wire(manifest)
    completed = run_trainer("plan", job, manifest, folders=folders, settings=settings, known=known)
    if completed.returncode != 0:
        raise TuneloopExit(Exit.BAD_INPUT, f"{loaded.file}: {error_output(completed)}")
    job_plan = JobPlan.from_wire(json.loads(completed.stdout))
    notes = [*job_plan.notes, *comparison_notes(job.spec, job_plan.rows)]
    job_plan = changed(job_plan, notes=notes)
    say(json.dumps(job_plan.to_wire(), indent=2) if output == "json" else plan_page(loaded.name, job_plan))
    if job_plan.problems:
        raise TuneloopExit(Exit.BAD_INPUT)
