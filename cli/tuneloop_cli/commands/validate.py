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
from tuneloop_cli.commands.known_objects import known_objects
from tuneloop_cli.commands.load_arguments import manifests_in
from tuneloop_cli.commands.loop_problems import loop_verdict
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.base_models import with_base_model
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
    from tuneloop_operator.controller.store import Store


@dataclass(frozen=True, kw_only=True)
class _Checks:
    """What manifests are checked against."""

    folders: Folders
    settings: OperatorSettings
    known: Store
    """All manifests that are checked together, and the objects of the folder."""


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
    manifests = manifests_in(files)
    known = known_objects(manifests, folders=folders)
    for loaded in manifests:
        verdict = _verdict(loaded, _Checks(folders=folders, settings=settings, known=known))
        invalid += verdict.problem is not None
        say(f"{loaded.file}: {loaded.kind} {loaded.name}: {verdict.problem or 'ok'}")
        for note in verdict.notes:
            say(f"  {note}")
    if invalid:
        raise TuneloopExit(Exit.BAD_INPUT)


def local_settings() -> OperatorSettings:
    """Return the settings of local mode for a command that runs no session: there is no progress server."""
    return OperatorSettings(local=True, default_claim=DEFAULT_CLAIM, progress_url="http://127.0.0.1")


def _verdict(loaded: LoadedManifest, checks: _Checks) -> _Verdict:
    refusal = refusal_of(loaded, folders=checks.folders, settings=checks.settings, known=checks.known)
    if refusal is not None:
        return _Verdict(refusal)
    return _CHECKS[loaded.kind](loaded, checks)


def _deployment_verdict(loaded: LoadedManifest, checks: _Checks) -> _Verdict:
    """Look for the artifact of a ModelDeployment and at its loop, and say what its gates can decide."""
    assert isinstance(loaded.resource, ModelDeployment)
    spec = loaded.resource.spec
    loop = loop_verdict(loaded.manifest, known=checks.known, settings=checks.settings)
    problem = loop.problem or next(artifact_problems(spec, folders=checks.folders), None)
    return _Verdict(problem) if problem else _Verdict(notes=(*filter(None, [loop.note]), *gate_notes(spec.rollout)))


def refusal_of(loaded: LoadedManifest, *, folders: Folders, settings: OperatorSettings, known: Store) -> str | None:
    """Return the operator's refusals, or else what is missing on this machine: a claim, Envoy, Prometheus; None for a manifest that can run. known: other objects."""
    try:
        refusals = refusals_of(loaded.resource, settings) or (
            *missing_for_router(loaded.manifest),
            *missing_for_queries(loaded.manifest),
        )
        if refusals:
            return "\n".join(str(refusal) for refusal in refusals)
        require_claims(loaded.manifest, folders=folders)
        if isinstance(loaded.resource, FineTuneJob):
            _feedback_places(loaded.manifest, known=known)
    except (ClaimMissing, FolderUnusable, NotAccepted) as error:
        return str(error)
    return None


def _data_verdict(loaded: LoadedManifest, checks: _Checks) -> _Verdict:
    """Let the trainer read model and data as the prepare stage would; return what it reports."""
    assert isinstance(loaded.resource, FineTuneJob)
    places = _feedback_places(loaded.manifest, known=checks.known)
    if missing := [name for name in loaded.resource.spec.feedback_deployments if name not in places]:
        # a job that rests reads nothing yet: a template of retraining
        return _Verdict(notes=(f"data: not read, for there is no feedback of {', '.join(missing)} here yet",))
    try:
        manifest = with_known_base(loaded.manifest, known=checks.known)
    except NotAccepted as waits:
        return _Verdict(notes=(f"model and data: not read: {waits}",))
    job = FineTuneJob.from_wire(manifest)
    completed = run_trainer(
        "check", job, manifest, folders=checks.folders, settings=checks.settings, known=checks.known
    )
    if completed.returncode != 0:
        return _Verdict(error_output(completed))
    plan = JobPlan.from_wire(json.loads(completed.stdout))
    head = (f"head: {plan.model.head}",) if plan.model.head else ()
    compared = comparison_notes(loaded.resource.spec, plan.rows)
    return _Verdict(notes=(*head, *(f"data: {note}" for note in plan.notes), *compared))


def run_trainer(
    command: str,
    job: FineTuneJob,
    manifest: dict[str, Any],
    *,
    folders: Folders,
    settings: OperatorSettings,
    known: Store,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the trainer that reads a job and writes nothing to a claim: `check` or `plan`."""
    wire = trainer_config(job, manifest, folders=folders, settings=settings, known=known)
    with tempfile.TemporaryDirectory() as scratch:
        run_json = Path(scratch) / "run.json"
        run_json.write_text(json.dumps(wire), encoding="utf-8")
        program = [sys.executable, "-m", "tuneloop_trainer", command, str(run_json)]
        return subprocess.run(program, check=False, capture_output=True, text=True)


def trainer_config(
    job: FineTuneJob, manifest: dict[str, Any], *, folders: Folders, settings: OperatorSettings, known: Store
) -> dict[str, Any]:
    """Return `run.json` of the job's prepare stage with the folders of this machine, and without a progress server."""
    with_uid = FineTuneJob.from_wire(
        manifest | {"metadata": manifest["metadata"] | {"uid": trained_identity(manifest)}}
    )
    places = _feedback_places(manifest, known=known)
    storage = storage_of(job.spec, default_claim=DEFAULT_CLAIM, feedback=places)
    assert storage is not None
    config = run_config(with_uid, stage="prepare", attempt=0, storage=storage, settings=settings)
    claims = {*config.paths.claims, *storage.feedback_claims}
    mounts = {mount_path(claim): folders.claim(claim) for claim in claims}
    wire: dict[str, Any] = on_this_machine(config.to_wire(), mounts)
    wire.pop("progress")
    return wire


def with_known_base(manifest: dict[str, Any], *, known: Store) -> dict[str, Any]:
    """Return a job with the address of its model, if that is of a job that was trained in this folder. Raises NotAccepted."""
    namespace = manifest["metadata"]["namespace"]
    return with_base_model(manifest, lambda name: known.get("FineTuneJob", namespace=namespace, name=name))


def _feedback_places(manifest: dict[str, Any], *, known: Store) -> dict[str, str]:
    """Return where the feedback is that a job reads, of deployments that were served from this folder or are checked with it. Raises NotAccepted."""
    namespace = manifest["metadata"]["namespace"]
    return places_of(manifest, lambda name: known.get("ModelDeployment", namespace=namespace, name=name))


def error_output(completed: subprocess.CompletedProcess[str]) -> str:
    """Return the error and the hint that a failed command of the trainer printed; without them, its whole stderr."""
    lines = [line for line in completed.stderr.splitlines() if line.startswith(("error: ", "hint: "))]
    return "\n".join(lines).removeprefix("error: ") or completed.stderr


_CHECKS: dict[str, Callable[[LoadedManifest, _Checks], _Verdict]] = {
    "FineTuneJob": _data_verdict,
    "ModelDeployment": _deployment_verdict,
}
"""The check of what a manifest names, by kind: models, files, other objects."""
