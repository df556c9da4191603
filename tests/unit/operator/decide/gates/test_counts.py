"""What may be read as the comparator's counts."""

from __future__ import annotations

from typing import Any

import pytest
from comparator_counts import live_counts

from tuneloop_operator.decide.model_deployment.gates.counts import counts_of
from tuneloop_operator.decide.model_deployment.gates.evidence import Missing
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

DOCUMENT = live_counts(100, canary_failed=3).to_wire()


def test_counts_are_read_as_they_were_written() -> None:
    assert counts_of(DOCUMENT) == live_counts(100, canary_failed=3)


def test_a_field_of_a_later_release_is_ignored() -> None:
    assert counts_of(DOCUMENT | {"temperature": 3}) == live_counts(100, canary_failed=3)


@pytest.mark.parametrize("version", [0, 2, "2", None])
def test_counts_of_another_version_are_no_data(version: Any) -> None:
    found = counts_of(DOCUMENT | {"version": version})
    assert isinstance(found, Missing)
    assert found.verdict is Verdict.NO_DATA
    assert f"version {version!r}" in found.reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("live", {"agree": "many"}),
        ("stable", None),
        ("startedAt", "yesterday"),
        ("startedAt", "2026-11-29T10:00:00"),
    ],
)
def test_what_is_no_counts_is_an_error_that_names_the_field(field: str, value: Any) -> None:
    found = counts_of(DOCUMENT | {field: value})
    assert isinstance(found, Missing)
    assert found.verdict is Verdict.ERROR
    assert field in found.reason


def test_an_empty_document_is_an_error() -> None:
    found = counts_of({})
    assert isinstance(found, Missing)
    assert found.verdict is Verdict.ERROR


def test_a_count_that_the_status_could_not_hold_is_named() -> None:
    found = counts_of(DOCUMENT | {"live": {"agree": 2**53 + 1}})
    assert isinstance(found, Missing)
    assert "live.agree: at most 9007199254740992 can be counted" in found.reason
