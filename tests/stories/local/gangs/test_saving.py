"""Saving under bad conditions: kills, full volumes, attempts that overlap, other settings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from gang_faults import small_disk
from ranks import run_ranks, start_and_wait

SCRIPT = Path(__file__).with_name("gang_saving.py")
FAILING = Path(__file__).with_name("gang_failing_saves.py")
SEEDS = range(20)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> list[Path]:
    """One folder per seed, in which a rank was killed at a random line of a save or a removal."""
    root = tmp_path_factory.mktemp("killed")
    for victim in (0, 1):
        whole = root / f"whole-{victim}"
        whole.mkdir()
        lines = run_ranks(FAILING, "save_and_die", world_size=2, folder=str(whole), seed=None, victim=victim)[victim]
        assert lines > 100
        (root / f"lines-{victim}").write_text(str(lines))
    folders = []
    for seed in SEEDS:
        victim = int(seed % 4 == 3)  # rank 0 does most of a commit
        folder = root / str(seed)
        folder.mkdir()
        outcome = start_and_wait(FAILING, "save_and_die", world_size=2, folder=str(folder), seed=seed, victim=victim)
        assert outcome.exit_codes[victim] == -9, outcome.output
        folders.append(folder)
    return [root / "whole-0", *folders]


def test_a_kill_at_any_point_of_a_save_leaves_the_newest_or_the_one_before(killed: list[Path], tmp_path: Path) -> None:
    reference, _ = run_ranks(SCRIPT, "save_steps", world_size=2, folder=str(tmp_path), steps=[1, 2])
    held = {saved["step"]: saved["held"] for saved in reference}
    whole, *outcomes = run_ranks(SCRIPT, "load_each", world_size=2, folders=[str(folder) for folder in killed])[0]
    assert (whole["step"], whole["skipped"], whole["held"]) == (2, [], held[2])
    for outcome in outcomes:
        assert outcome["step"] in (1, 2)
        assert outcome["held"] == held[outcome["step"]]
        assert outcome["skipped"] == []
        assert [name for name in outcome["left"] if name.endswith((".tmp", ".trash"))] == []
    assert {outcome["step"] for outcome in outcomes} == {1, 2}


def test_a_save_that_one_rank_cannot_write_leaves_everything_as_it_was(tmp_path: Path) -> None:
    outcomes = run_ranks(FAILING, "save_without_space", world_size=2, folder=str(tmp_path))
    for outcome in outcomes:
        assert f"{tmp_path}: the checkpoint of step 2 cannot be saved: File too large" in outcome["message"]
        assert "bytes, " in outcome["message"]
        assert outcome["after"] == outcome["before"]
        assert any(name.startswith("step-00000002-a1/") for name in outcome["then"])


def test_the_copy_is_saved_and_not_what_training_made_of_it_meanwhile(tmp_path: Path) -> None:
    outcome, _ = run_ranks(SCRIPT, "save_beside_steps", world_size=2, folder=str(tmp_path))
    assert outcome["loaded"] == outcome["at save"] != outcome["after"]


def test_the_best_weights_whose_save_failed_are_saved_before_newer_ones(tmp_path: Path) -> None:
    (outcome,) = run_ranks(FAILING, "lose_the_best_once", world_size=1, folder=str(tmp_path))
    before, reason, *after = outcome["reported"]
    assert "the checkpoint of step 2 cannot be saved: File too large" in reason
    assert [before, *after] == [None, None, None]
    assert outcome["saved"] == [1, 1, 2, 4]
    assert (outcome["best"], outcome["is the best"]) == (2, True)


def test_a_full_volume_is_reported_with_the_bytes_that_are_needed_and_free(tmp_path: Path) -> None:
    with small_disk(tmp_path / "volume", megabytes=0.125) as volume:
        outcome, _ = run_ranks(FAILING, "save_on_full_volume", world_size=2, folder=str(volume))
    assert outcome["unchanged"]
    assert outcome["newest"] == outcome["step"] - 1 >= 1
    assert (
        f"{volume}: the checkpoint of step {outcome['step']} cannot be saved: No space left on device"
        in outcome["message"]
    )


@pytest.fixture(scope="module")
def fences(tmp_path_factory) -> dict[str, Any]:
    (outcome,) = run_ranks(SCRIPT, "fences", world_size=1, folder=str(tmp_path_factory.mktemp("fences")))
    return outcome


def test_a_replaced_attempt_commits_nothing_more(fences: dict) -> None:
    assert (
        "ATTEMPT: attempt 2 has started in another pod; this run of attempt 1 must not save any more" in fences["late"]
    )
    assert fences["names"] == ["ATTEMPT", "step-00000001-a1", "step-00000003-a2", "step-00000004-a2"]
    assert fences["newest"] == "step-00000004-a2"


def test_the_same_attempt_in_another_pod_replaces_the_first(fences: dict) -> None:
    assert "this run of attempt 2 must not save any more" in fences["replaced"]


def test_an_attempt_does_not_start_after_a_later_one(fences: dict) -> None:
    assert "ATTEMPT: attempt 2 has started; attempt 1 must not go on" in fences["lower"]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory) -> dict[str, Any]:
    (outcome,) = run_ranks(SCRIPT, "refusals", world_size=1, folder=str(tmp_path_factory.mktemp("refusals")))
    return outcome


def test_a_checkpoint_of_other_settings_is_refused(refusals: dict) -> None:
    assert refusals["settings"].startswith("ConfigError")
    assert "its configuration hash is same, this job's is other" in refusals["settings"]


def test_a_checkpoint_on_another_base_model_is_refused(refusals: dict) -> None:
    assert refusals["base"].startswith("ConfigError")
    assert "was made on another base model" in refusals["base"]


def test_a_checkpoint_of_another_model_is_refused_with_the_parameter(refusals: dict) -> None:
    assert refusals["model"].startswith("StorageError")
    assert "parameter inner.weight" in refusals["model"]


def test_another_precision_goes_on_within_rounding(refusals: dict) -> None:
    assert refusals["bf16"] == "rounding"


def test_the_newest_and_the_best_are_kept_and_a_step_may_be_saved_again(tmp_path: Path) -> None:
    (found,) = run_ranks(
        SCRIPT, "kept", world_size=1, folder=str(tmp_path), steps=[10, 20, 30, 40], last=2, best=1, best_steps=[10, 20]
    )
    assert found[:3] == ["step-00000010-a1", "step-00000030-a1", "step-00000040-a1"]
    assert found[3] == {"again": True}
    assert "there is no whole checkpoint of step 999" in found[4]


def test_a_damaged_newest_checkpoint_is_passed_over_by_name(tmp_path: Path) -> None:
    saved, _ = run_ranks(SCRIPT, "save_steps", world_size=2, folder=str(tmp_path / "good"), steps=[1, 2])
    damaged, gone = tmp_path / "damaged", tmp_path / "gone"
    for folder in (damaged, gone):
        shutil.copytree(tmp_path / "good", folder)
    file = damaged / "step-00000002-a1" / "rank00001.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    for name in ("step-00000001-a1", "step-00000002-a1"):
        (gone / name / "MANIFEST.json").unlink()
    fallen_back, nothing = run_ranks(SCRIPT, "load_each", world_size=1, folders=[str(damaged), str(gone)])[0]
    assert fallen_back["step"] == 1
    assert fallen_back["held"] == saved[0]["held"]
    assert fallen_back["skipped"] == [
        ["step-00000002-a1", "rank00001.safetensors has another SHA-256 than what was written"]
    ]
    assert nothing["step"] is None
    assert nothing["skipped"] == [[f"step-0000000{step}-a1", "MANIFEST.json is missing"] for step in (2, 1)]


def make_unreadable(checkpoint: Path) -> None:
    """Let the read of the second rank's file fail."""
    file = checkpoint / "rank00001.safetensors"
    file.unlink()
    file.symlink_to("/proc/self/mem")  # opens, and its first read is an EIO from the kernel


@pytest.fixture
def two_saved(tmp_path: Path) -> Path:
    run_ranks(SCRIPT, "save_steps", world_size=2, folder=str(tmp_path), steps=[1, 2])
    return tmp_path


def test_a_newest_checkpoint_that_one_rank_cannot_read_is_passed_over_but_not_removed(two_saved: Path) -> None:
    make_unreadable(two_saved / "step-00000002-a1")
    for outcome in run_ranks(SCRIPT, "go_on_from", world_size=2, folder=str(two_saved)):
        assert (outcome["step"], outcome["skipped"]) == (1, [])
        assert outcome["unreadable"] == [
            ["step-00000002-a1", "rank00001.safetensors cannot be read: Input/output error"]
        ]
        assert outcome["left"] == ["step-00000002-a2", "step-00000002-a1"]


def test_where_none_is_whole_and_one_rank_cannot_read_one_the_storage_is_to_blame_on_all_ranks(two_saved: Path) -> None:
    make_unreadable(two_saved / "step-00000001-a1")
    (two_saved / "step-00000002-a1" / "MANIFEST.json").unlink()
    for message in run_ranks(SCRIPT, "look_for_newest", world_size=2, folder=str(two_saved)):
        assert message.startswith(f"StorageError: {two_saved}: ")
        assert "step-00000001-a1: rank00001.safetensors cannot be read: Input/output error" in message
