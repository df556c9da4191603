"""What is published of the best trial."""

from __future__ import annotations

import json

import pytest

from tuneloop_trainer.training.search.published import findings_in

STEP = json.dumps({"kind": "step", "step": 1, "loss": 0.5})
FINDING = json.dumps(
    {"kind": "finding", "step": 2, "name": "OverFitting", "message": "the loss rises", "advice": "stop earlier"}
)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param("", id="whole"),
        pytest.param(STEP[:9], id="a line that a full disk has cut"),
        pytest.param("\0" * 512, id="what a lost node leaves of pages that were not written"),
    ],
)
def test_findings_are_read_from_a_log_whatever_its_last_line_is(tmp_path, end):
    log = tmp_path / "train.jsonl"
    log.write_text(f"{STEP}\n{FINDING}\n{end}", encoding="utf-8")
    assert [found.name for found in findings_in(log)] == ["OverFitting"]


def test_a_trial_without_a_log_has_no_findings(tmp_path):
    assert findings_in(tmp_path / "train.jsonl") == []
