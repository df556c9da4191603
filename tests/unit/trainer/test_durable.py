"""What survives a power cut: every file of a checkpoint and of an artifact before it has its name, and then the name itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from disk_journal import DiskJournal
from file_limits import no_file_grows_beyond

from tuneloop_api.contract.artifact import Manifest as ArtifactManifest
from tuneloop_api.contract.results import DataCounts
from tuneloop_trainer.checkpoint.async_save import write_shard
from tuneloop_trainer.checkpoint.commit import commit
from tuneloop_trainer.checkpoint.fence import FENCE, Fence
from tuneloop_trainer.checkpoint.manifest import Manifest, TrainState
from tuneloop_trainer.checkpoint.retention import hide, quarantine
from tuneloop_trainer.checkpoint.shard_file import ShardFile
from tuneloop_trainer.data.folder import draft_folder
from tuneloop_trainer.data.folder import publish as publish_dataset
from tuneloop_trainer.dataset.shards import DatasetManifest, TokenizerFacts
from tuneloop_trainer.durable import make_folder, replace_durably, sync_tree
from tuneloop_trainer.engine.master_weights import Fragment
from tuneloop_trainer.export.publish import list_files, publish


@pytest.fixture
def journal(monkeypatch) -> DiskJournal:
    return DiskJournal(monkeypatch)


def shard() -> ShardFile:
    views = {name: torch.arange(4.0) for name in ("param", "exp_avg", "exp_avg_sq")}
    fragments = [Fragment("weight", (4,), 0, views)]
    file = ShardFile(fragments, {})
    file.refresh(fragments, {})
    return file


@pytest.fixture
def fence(tmp_path) -> Fence:
    fence = Fence(tmp_path, attempt=1)
    fence.take()
    return fence


def commit_one(folder: Path, fence: Fence, *, step: int = 10) -> Path:
    """Write and commit a checkpoint of one rank."""
    manifest = Manifest(
        step=step, attempt=1, saved_at="", config_hash="", frozen="", adam_step=step, state=TrainState(), fingerprint={}, files=[],
    )  # fmt: skip
    writing = folder / f"{manifest.folder_name}.tmp"
    assert write_shard(shard(), writing, rank=0).problem is None
    return commit(writing, manifest, fence=fence)


def test_a_checkpoint_is_durable_before_it_has_its_name_and_keeps_the_name(tmp_path, fence, journal):
    final = commit_one(tmp_path, fence)
    assert sorted(path.name for path in final.iterdir()) == ["MANIFEST.json", "rank00000.safetensors"]
    assert journal.lost_at_rename[final.name] == []
    assert journal.lost(final) == []
    assert journal.keeps_name(final)


def test_an_attempt_keeps_its_fence(tmp_path, journal):
    Fence(tmp_path, attempt=1).take()
    assert journal.lost_at_rename[FENCE] == []
    assert journal.keeps_name(tmp_path / FENCE)


def test_a_checkpoint_that_is_removed_or_quarantined_does_not_come_back(tmp_path, fence, journal):
    for step in (10, 20, 30):
        commit_one(tmp_path, fence, step=step)
    (hidden,) = hide(tmp_path, ["step-00000010-a1"])
    assert journal.keeps_name(hidden)
    aside = quarantine(tmp_path, before=20, attempt=2)
    assert all(journal.keeps_name(tmp_path / name) for name in aside)


def test_an_artifact_is_durable_before_it_has_its_name_and_keeps_the_name(tmp_path, journal):
    draft = tmp_path / "artifact.tmp"
    (draft / "model").mkdir(parents=True)
    (draft / "model" / "config.json").write_text("{}")
    manifest = ArtifactManifest(
        name="reviews", task="text-classification", base_model="hf://a", labels=["a", "b"], max_tokens=8, temperature=1.0, metrics=[],
        lineage={}, files=list_files(draft),
    )  # fmt: skip
    artifact = publish(draft, manifest)
    assert journal.lost_at_rename["artifact"] == []
    assert journal.lost(artifact) == []
    assert journal.keeps_name(artifact)


def test_prepared_data_is_durable_before_it_has_its_name_and_keeps_the_name(tmp_path, journal):
    manifest = DatasetManifest(
        digest="abc", labels=["a", "b"], max_tokens=8, splits={},
        tokenizer=TokenizerFacts(files_digest="sha256:0", pad_token_id=0, special_tokens=2, model_max_tokens=None),
        counts=DataCounts(rows=0, splits={}, bad=0, duplicates=0, truncated=0),
    )  # fmt: skip
    with draft_folder(tmp_path, digest="abc", uid="1") as draft:
        (draft / "train").mkdir()
        (draft / "train" / "shard").write_bytes(b"x")
        publish_dataset(draft, manifest, folder=tmp_path / "abc")
    assert journal.lost_at_rename["abc"] == []
    assert journal.lost(tmp_path / "abc") == []
    assert journal.keeps_name(tmp_path / "abc")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, journal):
    path = tmp_path / "train.json"
    replace_durably(path, b"old")
    with no_file_grows_beyond(2), pytest.raises(OSError, match="File too large"):
        replace_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    replace_durably(path, b"new")
    assert journal.lost_at_rename["train.json"] == []
    assert journal.keeps_name(path)


def test_a_folder_that_is_made_keeps_its_name_and_those_above_it(tmp_path, journal):
    (tmp_path / "there").mkdir()
    made = tmp_path / "there" / "jobs" / "reviews" / "checkpoints"
    make_folder(made)
    assert all(journal.keeps_name(path) for path in (made, made.parent, made.parent.parent))
    make_folder(made)


def test_all_below_a_folder_becomes_durable(tmp_path, journal):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x")
    assert set(journal.lost(tmp_path)) == {tmp_path.name, "a", "b", "file"}
    sync_tree(tmp_path)
    assert journal.lost(tmp_path) == []


def test_a_file_that_the_disk_changed_is_no_part_of_a_checkpoint(tmp_path, monkeypatch):
    fsync = os.fsync

    def forgetful(descriptor: int) -> None:
        fsync(descriptor)
        os.pwrite(descriptor, b"!", 500)

    monkeypatch.setattr(os, "fsync", forgetful)
    result = write_shard(shard(), tmp_path / "step.tmp", rank=0)
    assert result.file is None
    assert "read back right after it was written" in result.problem
    assert result.full is False
