"""One save: all ranks write their files in threads, and rank 0 commits; what fails leaves earlier checkpoints as they were."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from file_limits import no_file_grows_beyond
from safetensors import SafetensorError

from tuneloop_api.contract.results import SavedStep
from tuneloop_trainer.checkpoint.async_save import AsyncSave, ShardResult, Snapshot, write_shard, writing_folder
from tuneloop_trainer.checkpoint.commit import commit
from tuneloop_trainer.checkpoint.fence import FENCE, Fence
from tuneloop_trainer.checkpoint.fingerprint import fingerprint_of
from tuneloop_trainer.checkpoint.manifest import Manifest, TrainState
from tuneloop_trainer.checkpoint.on_all_ranks import on_all_ranks, on_rank_0, plain_reason
from tuneloop_trainer.checkpoint.resume import committed, read_manifest
from tuneloop_trainer.checkpoint.shard_file import ShardFile
from tuneloop_trainer.engine.master_weights import Fragment
from tuneloop_trainer.errors import SaveFailedError, StorageError

MANIFEST = Manifest(
    step=10, attempt=1, saved_at="2026-11-25T10:00:00Z", config_hash="", frozen="", adam_step=10, state=TrainState(), fingerprint={}, files=[],
)  # fmt: skip


def fragments() -> list[Fragment]:
    return [Fragment("weight", (4,), 0, {name: torch.arange(4.0) for name in ("param", "exp_avg", "exp_avg_sq")})]


def shard() -> ShardFile:
    file = ShardFile(fragments(), {})
    file.refresh(fragments(), {})
    return file


class FakeRanks:
    """The ranks of a gang: this one runs, and the others answer what they are given to answer."""

    def __init__(self, *others: Any, rank: int = 0) -> None:
        self.rank = rank
        self._others = [list(answers) for answers in others]

    def exchange(self, value: Any) -> list[Any]:
        """Give the answers of all ranks; one that has no answer left answers as this one."""
        answers = [other.pop(0) if other else value for other in self._others]
        return [*answers[: self.rank], json.loads(json.dumps(value)), *answers[self.rank :]]


@pytest.fixture
def fence(tmp_path) -> Fence:
    fence = Fence(tmp_path, attempt=1)
    fence.take()
    return fence


def save(folder: Path, fence: Fence, *, ranks: FakeRanks | None = None) -> AsyncSave:
    return AsyncSave(ranks or FakeRanks(), shard(), MANIFEST, folder=folder, fence=fence)


def test_a_save_is_committed_with_the_files_of_all_ranks(tmp_path, fence):
    other = ShardResult(size=9, file={"name": "rank00001.safetensors", "size": 9, "sha256": "ab"})
    saving = save(tmp_path, fence, ranks=FakeRanks([other.to_wire()]))
    saved = saving.finish()
    assert saving.done
    folder = tmp_path / "step-00000010-a1"
    assert saved == SavedStep(step=10, path=str(folder), time="2026-11-25T10:00:00Z")
    assert committed(tmp_path) == [folder.name]
    assert [file.name for file in read_manifest(folder).files] == ["rank00000.safetensors", "rank00001.safetensors"]
    assert {path.name for path in tmp_path.iterdir()} == {FENCE, folder.name}


def test_a_rank_writes_its_own_file_where_no_loader_reads(tmp_path):
    result = write_shard(shard(), writing_folder(tmp_path, MANIFEST), rank=12)
    assert result.file.name == "rank00012.safetensors"
    assert result.file.size == result.size == (tmp_path / "step-00000010-a1.tmp" / result.file.name).stat().st_size
    assert (result.problem, result.full) == (None, False)
    assert result.free > 0
    assert committed(tmp_path) == []


def test_a_volume_without_space_is_named_with_what_was_needed_and_what_was_free(tmp_path, fence):
    other = ShardResult(size=1_000_000, free=5, problem="something else")
    with no_file_grows_beyond(20), pytest.raises(SaveFailedError) as failed:
        save(tmp_path, fence, ranks=FakeRanks([other.to_wire()])).finish()
    size = shard().size
    assert failed.value.message.startswith(
        f"{tmp_path}: the checkpoint of step 10 cannot be saved: File too large; it needs {1_000_000 + size:,} bytes, "
    )
    assert failed.value.message.endswith(" were free")
    assert {path.name for path in tmp_path.iterdir()} == {FENCE}, "what was written of this save is gone"


def test_another_rank_that_cannot_write_is_a_save_that_failed(tmp_path, fence):
    other = ShardResult(size=7, problem="Input/output error: /x")
    with pytest.raises(SaveFailedError) as failed:
        save(tmp_path, fence, ranks=FakeRanks([other.to_wire()])).finish()
    assert failed.value.message == f"{tmp_path}: the checkpoint of step 10 cannot be saved: Input/output error: /x"


def test_a_full_volume_at_the_commit_is_named_too(tmp_path, fence):
    file = tmp_path / "step-00000010-a1.tmp"
    file.write_text("")  # in the place of the folder
    with pytest.raises(SaveFailedError, match=r"step 10 cannot be saved: File exists: .*step-00000010-a1\.tmp$"):
        save(tmp_path, fence).finish()


def test_what_the_disk_has_changed_is_not_committed(tmp_path, fence, monkeypatch):
    fsync = os.fsync

    def forgetful(descriptor: int) -> None:
        fsync(descriptor)
        os.pwrite(descriptor, b"!", 500)

    monkeypatch.setattr(os, "fsync", forgetful)
    with pytest.raises(SaveFailedError, match=r"read back right after it was written, rank00000\.safetensors has"):
        save(tmp_path, fence).finish()
    assert committed(tmp_path) == []


def test_who_was_replaced_by_a_later_attempt_ends_instead_of_going_on(tmp_path, fence):
    Fence(tmp_path, attempt=2).take()
    with pytest.raises(StorageError, match="attempt 2 has started in another pod") as raised:
        save(tmp_path, fence).finish()
    assert not isinstance(raised.value, SaveFailedError)
    assert committed(tmp_path) == []


def test_the_same_step_can_be_saved_again(tmp_path, fence):
    for _ in range(2):
        save(tmp_path, fence).finish()
    assert {path.name for path in tmp_path.iterdir()} == {FENCE, "step-00000010-a1"}


def test_a_commit_needs_the_fence(tmp_path, fence):
    (tmp_path / "step-00000010-a1.tmp").mkdir()
    (tmp_path / FENCE).write_bytes(b'{"attempt": 1}')
    with pytest.raises(StorageError, match="ATTEMPT: is gone or damaged: attempt 1 must not save any more"):
        commit(tmp_path / "step-00000010-a1.tmp", MANIFEST, fence=fence)


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        pytest.param(b'{"attempt": 3, "owner": "x"}', True, id="a later attempt"),
        pytest.param(b'{"attempt": 2, "owner": "x"}', False, id="the same attempt, a second time"),
        pytest.param(b'{"attempt": 1, "owner": "x"}', False, id="an earlier attempt"),
        pytest.param(b"3", False, id="damaged"),
        pytest.param(b'{"owner": "x"}', False, id="no attempt"),
    ],
)
def test_only_a_later_attempt_keeps_the_fence(tmp_path, content, refused):
    (tmp_path / FENCE).write_bytes(content)
    fence = Fence(tmp_path, attempt=2)
    if refused:
        with pytest.raises(StorageError) as raised:
            fence.take()
        assert raised.value.message == f"{tmp_path / FENCE}: attempt 3 has started; attempt 2 must not go on"
        return
    fence.take()
    fence.check()
    assert json.loads((tmp_path / FENCE).read_bytes())["attempt"] == 2
    assert len(json.loads((tmp_path / FENCE).read_bytes())["owner"]) == 32


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(OSError(28, "No space left on device", "/x/y"), "No space left on device: /x/y", id="all"),
        pytest.param(OSError(5, "Input/output error"), "Input/output error", id="no file"),
        pytest.param(OSError("odd"), "odd", id="a text alone"),
    ],
)
def test_a_failed_call_is_reported_without_its_number(error, reason):
    assert plain_reason(error) == reason


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "saving: No space left on device"),
        (SafetensorError("odd header"), "saving: odd header"),
        (StorageError("another attempt has started"), "another attempt has started"),
    ],
)
def test_what_fails_on_one_rank_fails_on_all(error, message):
    def fail() -> None:
        raise error

    with pytest.raises(StorageError) as raised:
        on_all_ranks(FakeRanks(), fail, doing="saving")
    assert raised.value.message == message
    with pytest.raises(StorageError) as elsewhere:
        on_all_ranks(FakeRanks([{"value": None, "problem": message}], rank=1), lambda: 1, doing="saving")
    assert elsewhere.value.message == message


def test_all_ranks_get_all_values_and_that_of_rank_0_where_it_acts_alone():
    other = {"value": 7, "problem": None}
    assert on_all_ranks(FakeRanks([other]), lambda: 5, doing="") == [5, 7]
    assert on_rank_0(FakeRanks([other]), lambda: 5, doing="") == 5
    acted: list[int] = []
    assert on_rank_0(FakeRanks([other], rank=1), lambda: acted.append(1), doing="") == 7
    assert acted == []


def engine(*, rank: int = 0, **buffers: torch.Tensor) -> Any:
    weights = SimpleNamespace(step=4, parts=fragments())
    weights.fragments = lambda: iter(weights.parts)
    return SimpleNamespace(rank=rank, buffers=buffers, changed_buffers=lambda: buffers, master_weights=weights)


def test_a_snapshot_copies_the_state_and_what_training_does_next_changes_nothing(tmp_path):
    trained = engine(rows=torch.tensor(3))
    snapshot = Snapshot(trained)
    snapshot.take()
    assert snapshot.adam_step == 4
    before = snapshot.file.write(tmp_path / "file").sha256
    trained.master_weights.parts[0].views["param"] += 1
    assert snapshot.file.write(tmp_path / "file").sha256 == before
    same = snapshot.file
    snapshot.take()
    assert snapshot.file is same
    assert snapshot.file.write(tmp_path / "file").sha256 != before
    trained.buffers["more"] = torch.ones(2)
    snapshot.take()
    assert snapshot.file.size > same.size


def test_only_rank_0_saves_the_buffers():
    assert Snapshot(engine(rank=1, rows=torch.tensor(3))).file.size == Snapshot(engine(rank=1)).file.size
    assert Snapshot(engine(rows=torch.tensor(3))).file.size > Snapshot(engine()).file.size


def test_a_fingerprint_names_all_that_a_bit_equal_run_needs():
    settings = SimpleNamespace(precision="fp32", micro_batch_size=16)
    run = SimpleNamespace(world_size=2, zero_stage=3, settings=settings, device=torch.device("cpu"))
    found = fingerprint_of(run, {"numpy": "2", "pair": (1, 2)})
    processor = found.pop("processor")
    names = Path("/proc/cpuinfo").read_text().splitlines()
    assert any(line.startswith("model name") and line.endswith(f": {processor}") for line in names) or (
        processor == platform.machine()
    )
    assert found == {
        "numpy": "2",
        "pair": [1, 2],
        "worldSize": 2,
        "stage": 3,
        "precision": "fp32",
        "microBatchSize": 16,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "deepspeed")},
    }
