"""A termination message always fits into 4096 bytes, and always says how the stage ended and where its result is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from message_samples import sample

from tuneloop_api.contract.champion import ComparisonSummary, SetSummary
from tuneloop_api.contract.results import (
    DataCounts,
    ExportSummary,
    Finding,
    Measured,
    MemoryPlan,
    PrepareSummary,
    Resolved,
    SavedStep,
    TerminationMessage,
    TrainSummary,
)
from tuneloop_api.contract.run_config import ResultReference
from tuneloop_api.contract.termination import TERMINATION_MESSAGE_BYTES, fit_termination_message
from tuneloop_api.wire.model import changed

ANY_TEXT = st.one_of(
    st.text(max_size=40),
    st.text(alphabet=st.characters(categories=["Cs"]), max_size=20),  # halves of surrogate pairs
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=5), st.integers(0, 3000)),
    st.sampled_from(['"\\\x00', "語", "\ud800", "x"]).map(lambda text: text * 5000),
)
COUNT = st.integers(0, 2**63)
REAL = st.floats(allow_nan=False, allow_infinity=False)


def models(model: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Models of these fields alone. `st.builds` would also draw each field's name on the wire, with any value of its type."""
    return st.fixed_dictionaries(fields).map(lambda given: model(**given))


MEASURED = models(Measured, name=ANY_TEXT, split=ANY_TEXT, value=REAL, low=REAL, high=REAL)
SAVED = models(SavedStep, step=COUNT, path=ANY_TEXT, time=ANY_TEXT, metric=ANY_TEXT, value=REAL)
FINDING = models(Finding, name=st.just("OverFitting"), message=ANY_TEXT, advice=ANY_TEXT)

COMPARED_SET = models(
    SetSummary, name=ANY_TEXT, rows=COUNT, champion=REAL, challenger=REAL, discordant=COUNT, verdict=st.just("Worse")
)


def many(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists of a few different items, or of one item many times."""
    return st.one_of(st.lists(items, max_size=4), st.builds(lambda item: [item] * 100, items))


COMPARED = models(
    ComparisonSummary,
    verdict=st.just("Worse"),
    message=ANY_TEXT,
    metric=ANY_TEXT,
    champion_digest=ANY_TEXT,
    seconds=REAL,
    sets=many(COMPARED_SET),
)
RESOLVED = models(Resolved, labels=many(ANY_TEXT), max_tokens=COUNT, global_batch_size=COUNT, micro_batch_size=COUNT, steps_per_epoch=COUNT,
    total_steps=COUNT, warmup_steps=COUNT, learning_rate=REAL, precision=st.just("bf16"), zero_stage=COUNT,
)  # fmt: skip
PREPARED = models(PrepareSummary,
    counts=models(DataCounts, splits=st.dictionaries(ANY_TEXT, COUNT, max_size=4), rows=COUNT, bad=COUNT, duplicates=COUNT, truncated=COUNT),
    resolved=RESOLVED, dataset_digest=ANY_TEXT, model_revision=ANY_TEXT, report_path=ANY_TEXT, cache_hit=st.booleans(),
    memory=st.one_of(st.none(), st.just(MemoryPlan.from_wire(sample(MemoryPlan, full=True)))), notes=st.one_of(st.none(), many(ANY_TEXT)),
)  # fmt: skip
TRAINED = models(TrainSummary, start_step=COUNT, steps=COUNT, world_size=COUNT, last=st.one_of(st.none(), SAVED), best=st.one_of(st.none(), SAVED),
    findings=st.one_of(st.none(), many(FINDING)),
)  # fmt: skip
EXPORTED = models(ExportSummary, artifact_uri=ANY_TEXT, digest=ANY_TEXT, size_bytes=COUNT, formats=many(ANY_TEXT), metrics=many(MEASURED),
    baselines=many(MEASURED), paired=st.one_of(st.none(), MEASURED), comparison=st.one_of(st.none(), COMPARED),
)  # fmt: skip
REFERENCE = models(
    ResultReference,
    path=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=1000),
    sha256=st.just(16 * "9f2c"),
)
MESSAGES = models(TerminationMessage, stage=st.sampled_from(["prepare", "train", "export"]), outcome=st.sampled_from(["Succeeded", "Failed", "Preempted"]),
    failure_class=st.one_of(st.none(), st.just("Storage")), message=st.one_of(st.none(), ANY_TEXT), hint=st.one_of(st.none(), ANY_TEXT),
    rank=COUNT, step=COUNT, last_lines=st.one_of(st.none(), many(ANY_TEXT)), result=st.one_of(st.none(), REFERENCE),
    prepare=st.one_of(st.none(), PREPARED), train=st.one_of(st.none(), TRAINED), export=st.one_of(st.none(), EXPORTED),
)  # fmt: skip
SUCCESS = ExportSummary(
    artifact_uri="pvc://models/a",
    digest="sha256:d",
    size_bytes=1,
    formats=["safetensors"],
    metrics=[Measured(name=f"metric-{number}", value=number / 7) for number in range(200)],
    baselines=[],
)
DONE = ResultReference(path="/claims/models/export.json", sha256=16 * "9f2c")


@given(message=MESSAGES)
@example(message=TerminationMessage(stage="export", outcome="Succeeded", result=DONE, export=SUCCESS))
@settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.large_base_example, HealthCheck.data_too_large, HealthCheck.too_slow],
)
def test_every_message_fits_and_keeps_stage_outcome_and_result(message: TerminationMessage) -> None:
    data = fit_termination_message(message)
    assert len(data) <= TERMINATION_MESSAGE_BYTES
    read = TerminationMessage.model_validate_json(data)
    assert (read.stage, read.outcome, read.result) == (message.stage, message.outcome, message.result)
    assert (read.failure_class, read.rank, read.step) == (message.failure_class, message.rank, message.step)


def test_a_message_that_fits_is_written_whole() -> None:
    message = TerminationMessage(stage="train", outcome="Failed", message="m" * 500, hint="h", last_lines=["a", "b"])
    assert TerminationMessage.from_wire(json.loads(fit_termination_message(message))) == message


def test_of_a_published_artifact_only_metrics_are_left_out() -> None:
    message = TerminationMessage(stage="export", outcome="Succeeded", result=DONE, export=SUCCESS)
    read = TerminationMessage.from_wire(json.loads(fit_termination_message(message))).export
    assert read is not None
    assert (read.artifact_uri, read.digest, read.size_bytes) == (SUCCESS.artifact_uri, SUCCESS.digest, 1)
    assert read.metrics == SUCCESS.metrics[: len(read.metrics)]
    assert len(read.metrics) > 40


@pytest.mark.parametrize(
    ("field", "kept"),
    [pytest.param("hint", "message", id="the hint goes before the message"), pytest.param("message", "hint", id="then the message")],
)  # fmt: skip
def test_a_text_is_cut_at_its_end(field: str, kept: str) -> None:
    message = TerminationMessage(stage="train", outcome="Failed", **{field: "語" * 3000, kept: "short"})
    read = TerminationMessage.from_wire(json.loads(fit_termination_message(message)))
    cut = getattr(read, field)
    assert cut.endswith("語…")
    assert len(fit_termination_message(message)) > TERMINATION_MESSAGE_BYTES - 4
    assert getattr(read, kept) == ("short" if field == "hint" else "…")


def test_the_oldest_of_the_last_lines_go_first() -> None:
    lines = [f"{number:03}" * 70 for number in range(20)]
    message = TerminationMessage(stage="train", outcome="Failed", message="m" * 1000, last_lines=lines)
    read = TerminationMessage.from_wire(json.loads(fit_termination_message(message)))
    assert read.message == message.message
    assert read.last_lines == lines[-len(read.last_lines or ()) :]
    assert len(read.last_lines or ()) > 10


def test_of_prepared_data_only_notes_are_left_out() -> None:
    prepared = changed(
        PrepareSummary.from_wire(sample(PrepareSummary, full=True)), notes=["rows were left out " * 20] * 30
    )
    message = TerminationMessage(stage="prepare", outcome="Succeeded", result=DONE, prepare=prepared)
    read = TerminationMessage.from_wire(json.loads(fit_termination_message(message))).prepare
    assert read is not None
    assert 1 < len(read.notes) < 30
    assert read.counts == prepared.counts


def test_a_summary_of_data_without_notes_has_no_field_that_release_0_1_0_does_not_know() -> None:
    assert "notes" not in PrepareSummary.from_wire(sample(PrepareSummary, full=False)).to_wire()
