"""The console shows what a person should know of the data of a job."""

from __future__ import annotations

from tuneloop_cli.views.data_notes import data_notes


def job(message: str, *, status: str = "True") -> dict[str, object]:
    return {
        "status": {"conditions": [{"type": "Prepared", "status": status, "reason": "DataReady", "message": message}]}
    }


def test_the_notes_stand_below_the_numbers_of_rows():
    assert data_notes(job("9 rows (train 9)\n3 of 12 rows were left out\nlabels look alike")) == [
        "data: 3 of 12 rows were left out",
        "data: labels look alike",
    ]


def test_data_without_notes_and_jobs_that_are_not_prepared_have_none():
    assert data_notes(job("9 rows (train 9)")) == data_notes(job("a\nb", status="False")) == data_notes({}) == []
