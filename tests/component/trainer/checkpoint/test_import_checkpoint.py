"""A checkpoint of another job becomes a job's first: which one, and when it is refused."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from disk_journal import DiskJournal
from file_limits import no_file_grows_beyond
from run_configs import run_config

from tuneloop_api.wire.model import changed
from tuneloop_trainer.checkpoint.import_checkpoint import find_origin, import_checkpoint
from tuneloop_trainer.checkpoint.manifest import MANIFEST, Manifest, SavedFile, TrainState
from tuneloop_trainer.checkpoint.resume import check_files, committed, read_manifest
from tuneloop_trainer.errors import ConfigError, StorageError

IDENTITY = "0123456789abcdef"
ORIGIN = "jobs/old-12345678"


def saved(
    claim: Path, step: int, *, attempt: int = 1, best: int | None = None, identity: str = IDENTITY, padding: int = 0
) -> Path:
    """Write a checkpoint of the old job; its one file says its step."""
    content = f"step {step}".encode() + bytes(padding)
    file = SavedFile(name="rank00000.safetensors", size=len(content), sha256=hashlib.sha256(content).hexdigest())
    manifest = Manifest(
        step=step,
        attempt=attempt,
        saved_at="2026-11-25T10:00:00Z",
        config_hash=identity,
        frozen="fp32:0",
        adam_step=step,
        state=TrainState(
            data={"epoch": 0, "stepOfEpoch": step},
            best=None if best is None else {"step": best, "metric": "accuracy", "value": 0.9},
            extra={"bestSteps": [] if best is None else [best], "evaluatedStep": step},
        ),
        fingerprint={},
        files=[file],
    )
    folder = claim / ORIGIN / "checkpoints" / manifest.folder_name
    folder.mkdir(parents=True)
    (folder / file.name).write_bytes(content)
    (folder / MANIFEST).write_bytes(manifest.encode())
    return folder


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    return tmp_path / "claim"


def config(claim: Path, uri: str = f"pvc://work/{ORIGIN}"):
    made = run_config(claim.parent, checkpoint={"resumeFrom": uri})
    return changed(made, paths=changed(made.paths, claims={"work": str(claim)}))


def own(config) -> Path:
    return Path(config.paths.job_dir) / "checkpoints"


def test_the_newest_whole_one_becomes_the_first_of_the_job(claim):
    saved(claim, 20, attempt=1), saved(claim, 10, attempt=2)
    job = config(claim)
    import_checkpoint(job, identity=IDENTITY)
    assert committed(own(job)) == ["step-00000010-a0"]
    manifest = read_manifest(own(job) / "step-00000010-a0")
    check_files(own(job) / "step-00000010-a0", manifest.files)
    assert (manifest.attempt, manifest.adam_step) == (0, 10)


def test_an_imported_checkpoint_survives_a_power_cut(claim, monkeypatch):
    saved(claim, 10)
    job, journal = config(claim), DiskJournal(monkeypatch)
    import_checkpoint(job, identity=IDENTITY)
    imported = own(job) / "step-00000010-a0"
    assert journal.lost_at_rename[imported.name] == []
    assert journal.lost(imported) == []
    assert journal.keeps_name(imported)


def test_one_that_is_damaged_is_passed_over(claim):
    saved(claim, 10)
    (saved(claim, 20) / "rank00000.safetensors").write_bytes(b"step 21")
    assert find_origin(config(claim)).step == 10


@pytest.mark.parametrize(
    "path", [ORIGIN, f"{ORIGIN}/", f"{ORIGIN}/checkpoints", f"{ORIGIN}/checkpoints/step-00000010-a1"]
)
def test_job_folder_and_checkpoint_are_understood(claim, path):
    saved(claim, 10)
    assert find_origin(config(claim, f"pvc://work/{path}")).step == 10


def test_the_best_one_comes_too(claim):
    saved(claim, 10, best=10), saved(claim, 20, best=10), saved(claim, 30, best=10)
    job = config(claim)
    import_checkpoint(job, identity=IDENTITY)
    assert committed(own(job)) == ["step-00000030-a0", "step-00000010-a0"]
    assert read_manifest(own(job) / "step-00000030-a0").state.best["step"] == 10


def test_a_best_one_that_is_gone_is_forgotten(claim):
    saved(claim, 30, best=10)
    job = config(claim)
    import_checkpoint(job, identity=IDENTITY)
    state = read_manifest(own(job) / "step-00000030-a0").state
    assert (state.best, state.extra["bestSteps"], state.data["stepOfEpoch"]) == (None, [], 30)


def test_a_job_that_has_checkpoints_of_its_own_goes_on_from_them(claim):
    saved(claim, 10)
    job = config(claim)
    import_checkpoint(job, identity=IDENTITY)
    saved(claim, 20)
    assert import_checkpoint(job, identity=IDENTITY) is None
    assert committed(own(job)) == ["step-00000010-a0"]


def test_what_is_left_of_a_copy_that_broke_off_does_not_matter(claim):
    saved(claim, 10)
    job = config(claim)
    (own(job) / "step-00000010-a0.tmp").mkdir(parents=True)
    import_checkpoint(job, identity=IDENTITY)
    assert committed(own(job)) == ["step-00000010-a0"]


@pytest.fixture
def broken_off(claim):
    """A job whose copy of the newest checkpoint, a larger one, broke off after that of the best."""
    saved(claim, 10, best=10), saved(claim, 30, best=10, padding=1 << 16)
    job = config(claim)
    with no_file_grows_beyond(1 << 15), pytest.raises(OSError, match="File too large"):
        import_checkpoint(job, identity=IDENTITY)
    return job


def test_a_copy_that_broke_off_after_the_best_one_brings_the_newest_the_next_time(broken_off):
    assert committed(own(broken_off)) == ["step-00000010-a0"]
    assert import_checkpoint(broken_off, identity=IDENTITY).step == 30
    assert committed(own(broken_off)) == ["step-00000030-a0", "step-00000010-a0"]
    manifest = read_manifest(own(broken_off) / "step-00000030-a0")
    check_files(own(broken_off) / "step-00000030-a0", manifest.files)
    assert manifest.state.best["step"] == 10
    assert import_checkpoint(broken_off, identity=IDENTITY) is None


def test_what_was_brought_before_a_copy_broke_off_is_not_copied_again(broken_off):
    before = (own(broken_off) / "step-00000010-a0").stat().st_ino
    import_checkpoint(broken_off, identity=IDENTITY)
    assert (own(broken_off) / "step-00000010-a0").stat().st_ino == before


def test_the_other_job_may_be_deleted_once_its_checkpoints_are_here(claim):
    saved(claim, 10, best=10), saved(claim, 30, best=10)
    job = config(claim)
    import_checkpoint(job, identity=IDENTITY)
    shutil.rmtree(claim / ORIGIN)
    assert import_checkpoint(job, identity=IDENTITY) is None


@pytest.mark.parametrize("step", [pytest.param(30, id="the newest"), pytest.param(10, id="the best")])
def test_one_that_cannot_be_read_at_the_moment_is_not_left_behind(claim, step):
    files = {number: saved(claim, number, best=10) / "rank00000.safetensors" for number in (10, 30)}
    content = files[step].read_bytes()
    files[step].unlink()
    files[step].symlink_to("/proc/self/mem")  # opens, and its first read is an EIO from the kernel
    job = config(claim)
    with pytest.raises(StorageError, match=f"resumeFrom: step-000000{step}-a1: .* cannot be read: Input/output error"):
        import_checkpoint(job, identity=IDENTITY)
    files[step].unlink()
    files[step].write_bytes(content)
    import_checkpoint(job, identity=IDENTITY)
    assert committed(own(job)) == ["step-00000030-a0", "step-00000010-a0"]


def test_one_of_another_model_is_refused(claim):
    saved(claim, 10, identity="f" * 16)
    with pytest.raises(
        ConfigError, match=r"checkpoint.resumeFrom: step-00000010-a1 .* another model, other data"
    ) as raised:
        import_checkpoint(config(claim), identity=IDENTITY)
    assert "give its artifact as model.uri" in raised.value.hint


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("pvc://work/jobs/none", "jobs/none does not exist", id="nothing there"),
        pytest.param("pvc://work/jobs", "has no whole checkpoint: there is none", id="no checkpoint"),
        pytest.param("pvc://other/jobs", "the claim 'other' is not mounted", id="another claim"),
    ],
)
def test_an_address_without_a_checkpoint_is_refused_with_its_field(claim, uri, message):
    (claim / "jobs").mkdir(parents=True)
    with pytest.raises(ConfigError, match=message) as raised:
        find_origin(config(claim, uri))
    assert raised.value.message.startswith("checkpoint.resumeFrom: ")


def test_nothing_is_looked_for_where_the_field_is_not_given(claim):
    made = run_config(claim.parent)
    assert find_origin(made) is None
    assert import_checkpoint(made, identity=IDENTITY) is None


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "link", "sub/../link"])
def test_a_checkpoint_names_its_own_files_only(claim, name):
    folder = saved(claim, 10)
    secret = claim / ORIGIN / "secret"
    secret.write_bytes(b"theirs")
    (folder / "link").symlink_to(secret)
    manifest = read_manifest(folder)
    outside = SavedFile(name=name, size=6, sha256=hashlib.sha256(b"theirs").hexdigest())
    (folder / MANIFEST).write_bytes(changed(manifest, files=[*manifest.files, outside]).encode())
    with pytest.raises(ConfigError, match="has no whole checkpoint.* lies outside of the checkpoint"):
        import_checkpoint(config(claim), identity=IDENTITY)


def test_files_that_the_manifest_does_not_name_are_not_imported(claim):
    (saved(claim, 10) / "more").write_bytes(b"of nobody")
    job = config(claim)
    import_checkpoint(job, identity=IDENTITY)
    assert sorted(path.name for path in (own(job) / "step-00000010-a0").iterdir()) == [
        MANIFEST,
        "rank00000.safetensors",
    ]
