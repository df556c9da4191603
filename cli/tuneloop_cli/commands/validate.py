"""`validate`: the contract, what the operator would refuse, and whether models and data are there and usable."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.commands.load_arguments import manifests_in
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.errors import ClaimMissing
from tuneloop_cli.local.folders import require_claims
from tuneloop_cli.local.kubelet.pod_plan import Folders
from tuneloop_cli.local.submission import DEFAULT_CLAIM, identity
from tuneloop_operator.decide.accept import refusals_of
from tuneloop_operator.desired.common.storage import mount_path, path_of, storage_of
from tuneloop_operator.desired.fine_tune_job.run_config import run_config
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from tuneloop_cli.manifests.load import LoadedManifest


def check_files(files: list[Path], *, folder: Path) -> None:
    """Check everything, say all that is wrong, change nothing; ends with exit code 2 if anything is."""
    settings = OperatorSettings(local=True, default_claim=DEFAULT_CLAIM, progress_url="http://127.0.0.1")
    bad = 0
    for each in manifests_in(files):
        problem = _problem(each, folders=Folders(root=folder.resolve()), settings=settings)
        bad += problem is not None
        print(f"{each.file}: {each.kind} {each.name}: {problem or 'ok'}")
    if bad:
        raise TuneloopExit(Exit.BAD_INPUT)


def _problem(loaded: LoadedManifest, *, folders: Folders, settings: OperatorSettings) -> str | None:
    resource = loaded.resource
    refused = refusal_of(loaded, folders=folders, settings=settings)
    if refused is not None:
        return refused
    if isinstance(resource, FineTuneJob):
        return _data_problem(resource, loaded.manifest, folders=folders, settings=settings)
    uri = resource.spec.model.uri
    if uri is None:
        return None
    manifest = Path(_on_this_machine(path_of(uri), folders)) / "manifest.json"
    return None if manifest.is_file() else f"spec.model.uri: {uri} is no artifact: there is no {manifest}"


def refusal_of(loaded: LoadedManifest, *, folders: Folders, settings: OperatorSettings) -> str | None:
    """Return what the operator would refuse, or which claims are missing; None if there is nothing."""
    if refusals := refusals_of(loaded.resource, settings):
        return "\n".join(str(refusal) for refusal in refusals)
    try:
        require_claims(loaded.manifest, folders=folders, write=False)
    except ClaimMissing as error:
        return str(error)
    return None


def _data_problem(
    job: FineTuneJob, manifest: dict[str, Any], *, folders: Folders, settings: OperatorSettings
) -> str | None:
    """Let the trainer read model and data as `prepare` would; return what it says is wrong."""
    ended = ask_trainer("check", job, manifest, folders=folders, settings=settings)
    return None if ended.returncode == 0 else what_it_said(ended)


def ask_trainer(
    command: str, job: FineTuneJob, manifest: dict[str, Any], *, folders: Folders, settings: OperatorSettings
) -> subprocess.CompletedProcess[str]:
    """Run a command of the trainer that looks at a job and leaves nothing behind: `check` or `plan`."""
    with_uid = FineTuneJob.from_wire(manifest | {"metadata": manifest["metadata"] | {"uid": identity(manifest)}})
    storage = storage_of(job.spec, default_claim=DEFAULT_CLAIM)
    assert storage is not None
    config = run_config(with_uid, stage="prepare", attempt=0, storage=storage, settings=settings)
    wire = json.loads(_on_this_machine(json.dumps(config.to_wire()), folders))
    wire.pop("progress")
    with tempfile.TemporaryDirectory() as scratch:
        run_json = Path(scratch) / "run.json"
        run_json.write_text(json.dumps(wire), encoding="utf-8")
        program = [sys.executable, "-m", "tuneloop_trainer", command, str(run_json)]
        return subprocess.run(program, check=False, capture_output=True, text=True)


def what_it_said(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the error and the hint that a failed command of the trainer wrote, or all that it wrote."""
    said = [line for line in ended.stderr.splitlines() if line.startswith(("error: ", "hint: "))]
    return "\n".join(said).removeprefix("error: ") or ended.stderr


def _on_this_machine(text: str, folders: Folders) -> str:
    """Put the claims' folders in the place of their mount paths."""
    return text.replace(mount_path(""), f"{folders.claim('x').parent}/")
