"""What a job will write, and the refusal where the claim has no room for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_configs import run_config

from tuneloop_trainer.errors import StorageError
from tuneloop_trainer.models.trace import ByteFormula, ModelShape
from tuneloop_trainer.preflight.feasible import GIB
from tuneloop_trainer.preflight.space import Need, free_bytes, needs_of, require_room

NOTHING = ByteFormula(per_token=0, per_pair=0)
FULL = ModelShape(parameters=1000, trainable=1000, kept=NOTHING, freed=NOTHING)
LORA = ModelShape(parameters=1000, trainable=10, kept=NOTHING, freed=NOTHING)
CHECKPOINT = 3 * 4 * 1000
"""Bytes: parameter and two moments in fp32."""


def needs(tmp_path: Path, shape: ModelShape = FULL, **settings: Any) -> dict[str, int]:
    settings = {"method": {"type": "full"}} | settings
    config = run_config(tmp_path, **settings)
    found = needs_of(shape, config.settings, job=Path(config.paths.job_dir), data=7)
    return {need.name: need.size for need in found}


def test_a_job_writes_data_checkpoints_weights_and_an_artifact(tmp_path):
    assert needs(tmp_path) == {"data set": 7, "checkpoints": 4 * CHECKPOINT, "weights": 4000, "artifact": 4000}


@pytest.mark.parametrize(
    ("checkpoint", "kept"),
    [({"keepLast": 1, "keepBest": 0}, 3), ({"keepLast": 5, "keepBest": 2}, 8)],
    ids=["the best is kept where it is published", "as many as are asked for, and the one being written"],
)
def test_checkpoints_are_counted_as_they_are_kept(tmp_path, checkpoint, kept):
    assert needs(tmp_path, checkpoint=checkpoint)["checkpoints"] == kept * CHECKPOINT


def test_without_the_best_only_the_last_are_kept(tmp_path):
    found = needs(tmp_path, checkpoint={"keepLast": 1, "keepBest": 0}, output={"checkpoint": "last"})
    assert found["checkpoints"] == 2 * CHECKPOINT


def test_an_adapter_is_published_beside_the_merged_model_or_alone(tmp_path):
    assert needs(tmp_path, LORA, method={"type": "lora"})["artifact"] == 4 * 1010
    alone = needs(tmp_path, LORA, method={"type": "lora"}, output={"mergeAdapter": False})
    assert alone["artifact"] == 4 * 10


def test_what_is_there_already_need_not_be_written(tmp_path):
    saved = tmp_path / "job" / "checkpoints" / "step-5"
    saved.mkdir(parents=True)
    (saved / "rank00000.safetensors").write_bytes(bytes(CHECKPOINT))
    assert needs(tmp_path)["checkpoints"] == 3 * CHECKPOINT


def test_free_bytes_are_those_of_the_volume_of_a_folder_that_is_not_there_yet(tmp_path):
    assert free_bytes(tmp_path / "not" / "there") == pytest.approx(free_bytes(tmp_path), rel=0.2)


def test_a_refusal_names_what_is_needed_what_is_free_and_what_to_do():
    wanted = [Need(name="data set", size=GIB), Need(name="checkpoints", size=4 * GIB), Need(name="weights", size=0)]
    message = r"^/claim/job: no space left: the job needs about 5.0 GiB \(data set 1.0 GiB, checkpoints 4.0 GiB\), 4.5 GiB are free$"
    with pytest.raises(StorageError, match=message) as refused:
        require_room(wanted, folder=Path("/claim/job"), free=GIB * 9 // 2)
    assert "give the claim more" in refused.value.hint


def test_what_just_fits_is_accepted():
    require_room([Need(name="data set", size=GIB)], folder=Path("/claim/job"), free=GIB)
