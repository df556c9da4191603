"""Where a model is computed: on the GPU that belongs to the pod, or on the CPU."""

from __future__ import annotations

import pytest
import torch
from server_process import configuration

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.errors import CannotServe
from tuneloop_server.runtimes.devices import CPU, device_of
from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks.text_classification import TEXT_CLASSIFICATION


@pytest.mark.parametrize("gpus", [None, 0])
def test_a_pod_without_gpus_computes_on_the_cpu_whatever_the_machine_has(gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert device_of(gpus) == CPU


def test_a_pod_with_a_gpu_computes_on_the_first_that_it_sees(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of(1) == torch.device("cuda", 0)


def test_a_server_whose_gpu_cannot_be_seen_ends_in_place_of_keeping_it_idle(artifact, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(CannotServe, match=r"resources\.gpus: 1 belongs to this pod, and torch sees none") as caught:
        load(configuration(artifact.folder, gpus=1), artifact.manifest, TEXT_CLASSIFICATION)
    assert caught.value.exit_code == ExitCode.CONFIG


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that torch sees")
@pytest.mark.full
def test_a_gpu_answers_as_the_cpu_does(artifact):
    on_cpu, on_gpu = (
        load(configuration(artifact.folder, gpus=gpus), artifact.manifest, TEXT_CLASSIFICATION) for gpus in (None, 1)
    )
    batch = [window for (window,) in on_cpu.encode(["a joy", "dull " * 9])]
    for expected, found in zip(on_cpu.predict(batch), on_gpu.predict(batch), strict=True):
        assert found == pytest.approx(expected, abs=1e-4)
