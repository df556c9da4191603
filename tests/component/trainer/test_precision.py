"""bf16 only where every device of the gang has it, unless it was asked for."""

import pytest

from tuneloop_api.contract.results import DataCounts, PrepareResult, Resolved
from tuneloop_api.wire.model import changed
from tuneloop_trainer.engine import precision


def prepared(planned: str) -> PrepareResult:
    return PrepareResult(
        dataset_digest="d", dataset_path="p", model_path="m", model_revision="r", model_type="bert", report_path="r",
        counts=DataCounts(rows=9, splits={"train": 9}, bad=0, duplicates=0, truncated=0), cache_hit=False,
        resolved=Resolved(
            labels=["a", "b"], max_tokens=64, global_batch_size=32, micro_batch_size=16, steps_per_epoch=1, total_steps=1,
            warmup_steps=0, learning_rate=1e-5, precision=planned, zero_stage=1,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "planned", "devices", "used"),
    [
        pytest.param("auto", "bf16", [True, True], "bf16", id="all have it"),
        pytest.param("auto", "bf16", [True, False], "fp32", id="one lacks it"),
        pytest.param("bf16", "bf16", [False, False], "bf16", id="asked for"),
        pytest.param("auto", "fp32", [True, True], "fp32", id="not planned"),
    ],
)
def test_the_gang_agrees_on_one_format(monkeypatch, chosen, planned, devices, used):
    monkeypatch.setattr(precision, "exchange", lambda *_, **__: devices)  # what ranks without a GPU cannot show
    plan = prepared(planned)
    found = precision.with_precision_of_gang(plan, chosen=chosen)
    assert found.resolved.precision == used
    assert changed(found, resolved=plan.resolved) == plan


def test_a_device_without_bf16_of_its_own_does_not_count_by_emulation(monkeypatch):
    asked = {}
    monkeypatch.setattr(precision.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(precision.torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(precision.torch.cuda, "is_bf16_supported", lambda **how: asked.update(how) or False)
    monkeypatch.setattr(precision, "exchange", lambda value, **_: [value])
    assert precision.with_precision_of_gang(prepared("bf16"), chosen="auto").resolved.precision == "fp32"
    assert asked == {"including_emulation": False}
