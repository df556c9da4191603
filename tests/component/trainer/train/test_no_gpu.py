"""A pod that holds a GPU which torch cannot see does not train on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import forked_gangs
import pytest
import torch
from prepared_runs import training_run, write_run
from ranks import start_and_wait

from tuneloop_api.wire.model import changed


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can be seen here")
def test_a_rank_without_its_gpu_fails_before_it_waits_for_its_gang(tmp_path, tiny_model, dataset):
    config = training_run(tmp_path, model=tiny_model, dataset=dataset)
    gang = changed(config.settings.gang, nodes=2, gpus_per_node=1)
    path = write_run(changed(config, settings=changed(config.settings, gang=gang)), tmp_path / "run.json")
    ended = start_and_wait(Path(forked_gangs.__file__), "train", world_size=1, path=str(path))
    assert ended.exit_codes == (1,)
    message = json.loads((tmp_path / "run.json.message.0").read_text())
    assert message["failureClass"] == "Config"
    assert "resources.gpusPerNode: 1 GPU belongs to this pod, and torch sees none" in message["message"]
    assert "device plugin" in message["hint"]
