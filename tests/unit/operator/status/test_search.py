"""How a search is shown in the status of a job."""

from __future__ import annotations

import pytest

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_api.contract.search import SearchSummary
from tuneloop_api.v1alpha1 import FineTuneJobStatus
from tuneloop_operator.status.fine_tune_job.progress import with_progress
from tuneloop_operator.status.fine_tune_job.search import with_search

BEST = {"training.learningRate": 3e-4, "method.type": "lora", "method.useDora": True, "method.rank": 8}


def summary(**fields) -> SearchSummary:
    return SearchSummary(**{"trials": 7, "total": 20, "pruned": 2, "metric": "accuracy"} | fields)


def test_the_status_counts_trials_and_has_the_best_values_as_yaml_has_them() -> None:
    found = with_search(FineTuneJobStatus(), summary(best=3, value=0.91, parameters=BEST)).search
    assert found is not None
    assert (found.trial, found.pruned, found.best, found.metric, found.value) == ("7/20", 2, 3, "accuracy", 0.91)
    assert found.parameters == {
        "training.learningRate": "0.0003",
        "method.type": "lora",
        "method.useDora": "true",
        "method.rank": "8",
    }


@pytest.mark.parametrize("given", [None, summary()])
def test_a_status_without_a_best_trial_names_none(given) -> None:
    found = with_search(FineTuneJobStatus(), given).search
    assert (found and found.best, found and found.parameters) == (None, None)


def test_what_an_image_reports_is_cut_to_what_a_status_holds() -> None:
    many = {f"{number}" + "x" * 300: "y" * 300 for number in range(20)}
    found = with_search(FineTuneJobStatus(), summary(metric="m" * 300, parameters=many)).search
    assert found is not None
    assert FineTuneJobStatus.from_wire({"search": found.to_wire()}).search == found
    assert len(found.parameters or {}) == 8


def test_a_post_without_a_search_leaves_what_was_shown() -> None:
    wire = {"stage": "train", "attempt": 1, "sequence": 1, "sentAt": "2026-01-01T12:00:00Z"}
    status = with_search(FineTuneJobStatus(attempt=1), summary())
    assert with_progress(status, ProgressMessage.from_wire(wire | {"step": 3}), stage="train").search == status.search
    posted = ProgressMessage.from_wire(wire | {"search": summary(trials=8).to_wire()})
    found = with_progress(status, posted, stage="train").search
    assert found is not None
    assert found.trial == "8/20"
