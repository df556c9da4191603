"""`validate`: checks manifests against the contract and the operator's refusals, and that models and data can be used."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.job_plan import JobPlan
from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_cli.commands.artifact_problems import artifact_problems
from tuneloop_cli.commands.load_arguments import manifests_in
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_cli.local.errors import ClaimMissing, FolderUnusable, NotAccepted
from tuneloop_cli.local.feedback_places import places_of
from tuneloop_cli.local.folders import require_claims
from tuneloop_cli.local.kubelet.pod_plan import Folders, on_this_machine
from tuneloop_cli.local.query_needs import missing_for_queries
from tuneloop_cli.local.router_needs import missing_for_router
from tuneloop_cli.local.submission import DEFAULT_CLAIM, trained_identity
from tuneloop_cli.terminal import say
from tuneloop_cli.views.challenger_power import comparison_notes
from tuneloop_cli.views.gate_power import gate_notes
from tuneloop_operator.decide.accept import refusals_of
from tuneloop_operator.desired.common.storage import mount_path, storage_of
from tuneloop_operator.desired.fine_tune_job.run_config import run_config
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_cli.manifests.load import LoadedManifest


@dataclass(frozen=True)
class _Verdict:
    """What was found of a manifest."""

    problem: str | None = None
    notes: tuple[str, ...] = ()
    """What a person should know of a job that can run, a sentence each."""


def check_files(files: list[Path], *, folder: Path) -> None:
    """Check every manifest and print every problem; change nothing. Exit code 2: there is a problem."""
    settings = local_settings()
    folders = Folders(root=folder.resolve())
    invalid = 0
    for loaded in manifests_in(files):
        verdict = _verdict(loaded, folders=folders, settings=settings)
        invalid += verdict.problem is not None
        say(f"{loaded.file}: {loaded.kind} {loaded.name}: {verdict.problem or 'ok'}")
        for note in verdict.notes:
            say(f"  {note}")
    if invalid:
        raise TuneloopExit(Exit.BAD_INPUT)


def local_settings() -> OperatorSettings:
    """Return the settings of local mode for a command that runs no session: there is no progress server."""
    return OperatorSettings(local=True, default_claim=DEFAULT_CLAIM, progress_url="http://127.0.0.1")


def _verdict(loaded: LoadedManifest, *, folders: Folders, settings: OperatorSettings) -> _Verdict:
    refusal = refusal_of(loaded, folders=folders, settings=settings)
    if refusal is not None:
        return _Verdict(refusal)
    return _CHECKS[loaded.kind](loaded, folders, settings)


def _artifact_verdict(loaded: LoadedManifest, folders: Folders, _: OperatorSettings) -> _Verdict:
    """Look for the artifact of a ModelDeployment, and say what its gates can decide."""
    assert isinstance(loaded.resource, ModelDeployment)
    spec = loaded.resource.spec
    problem = next(artifact_problems(spec, folders=folders), None)
    return _Verdict(problem) if problem else _Verdict(notes=tuple(gate_notes(spec.rollout)))


def refusal_of(loaded: LoadedManifest, *, folders: Folders, settings: OperatorSettings) -> str | None:
    """Return the operator's refusals, or else what is missing on this machine: a claim, Envoy, Prometheus; None for a manifest that can run."""
    try:
        refusals = refusals_of(loaded.resource, settings) or (
            *missing_for_router(loaded.manifest),
            *missing_for_queries(loaded.manifest),
        )
        if refusals:
            return "\n".join(str(refusal) for refusal in refusals)
        require_claims(loaded.manifest, folders=folders)
        if isinstance(loaded.resource, FineTuneJob):
            _feedback_places(loaded.manifest, folders=folders)
    except (ClaimMissing, FolderUnusable, NotAccepted) as error:
        return str(error)
    return None


def _data_verdict(loaded: LoadedManifest, folders: Folders, settings: OperatorSettings) -> _Verdict:
    """Let the trainer read model and data as the prepare stage would; return what it reports."""
    assert isinstance(loaded.resource, FineTuneJob)
    completed = run_trainer("check", loaded.resource, loaded.manifest, folders=folders, settings=settings)
    if completed.returncode != 0:
        return _Verdict(error_output(completed))
    plan = JobPlan.from_wire(json.loads(completed.stdout))
    head = (f"head: {plan.model.head}",) if plan.model.head else ()
    compared = comparison_notes(loaded.resource.spec, plan.rows)
    return _Verdict(notes=(*head, *(f"data: {note}" for note in plan.notes), *compared))


def run_trainer(
    command: str, job: FineTuneJob, manifest: dict[str, Any], *, folders: Folders, settings: OperatorSettings
) -> subprocess.CompletedProcess[str]:
    """Run a command of the trainer that reads a job and writes nothing to a claim: `check` or `plan`."""
    wire = trainer_config(job, manifest, folders=folders, settings=settings)
    with tempfile.TemporaryDirectory() as scratch:
        run_json = Path(scratch) / "run.json"
        run_json.write_text(json.dumps(wire), encoding="utf-8")
        program = [sys.executable, "-m", "tuneloop_trainer", command, str(run_json)]
        return subprocess.run(program, check=False, capture_output=True, text=True)


def trainer_config(
    job: FineTuneJob, manifest: dict[str, Any], *, folders: Folders, settings: OperatorSettings
) -> dict[str, Any]:
    """Return `run.json` of the job's prepare stage with the folders of this machine, and without a progress server."""
    with_uid = FineTuneJob.from_wire(
        manifest | {"metadata": manifest["metadata"] | {"uid": trained_identity(manifest)}}
    )
    places = _feedback_places(manifest, folders=folders)
    storage = storage_of(job.spec, default_claim=DEFAULT_CLAIM, feedback=places)
    assert storage is not None
    config = run_config(with_uid, stage="prepare", attempt=0, storage=storage, settings=settings)
    claims = {*config.paths.claims, *storage.feedback_claims}
    mounts = {mount_path(claim): folders.claim(claim) for claim in claims}
    wire: dict[str, Any] = on_this_machine(config.to_wire(), mounts)
    wire.pop("progress")
    return wire


def _feedback_places(manifest: dict[str, Any], *, folders: Folders) -> dict[str, str]:
    """Return where the feedback is that a job reads, of deployments that were served from this folder. Raises NotAccepted."""
    namespace, objects = manifest["metadata"]["namespace"], ObjectFiles(folders.root)
    return places_of(manifest, lambda name: objects.read("ModelDeployment", namespace, name))


def error_output(completed: subprocess.CompletedProcess[str]) -> str:
    """Return the error and the hint that a failed command of the trainer printed; without them, its whole stderr."""
    lines = [line for line in completed.stderr.splitlines() if line.startswith(("error: ", "hint: "))]
    return "\n".join(lines).removeprefix("error: ") or completed.stderr


_CHECKS: dict[str, Callable[[LoadedManifest, Folders, OperatorSettings], _Verdict]] = {
    "FineTuneJob": _data_verdict,
    "ModelDeployment": _artifact_verdict,
}
"""The check of the models and files that a manifest names, by kind."""
