"""Addresses of this machine are refused in a cluster, wherever in the spec they stand."""

from __future__ import annotations

import pytest
from observed_jobs import SETTINGS, a_job

from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.settings.operator import OperatorSettings

LOCAL = "file:///data/x.csv"
REMOTE = {"uri": "pvc://models/x.csv"}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_local_file_of_any_split_is_refused_in_a_cluster_alone(split: str) -> None:
    data = {"train": [REMOTE], "validation": [REMOTE], "test": [REMOTE]} | {split: [REMOTE, {"uri": LOCAL}]}
    job = a_job(data=data)
    assert [(refusal.field, refusal.given) for refusal in job_refusals(job.spec, SETTINGS)] == [
        (f"spec.data.{split}[1].uri", LOCAL)
    ]
    assert job_refusals(job.spec, OperatorSettings(default_claim="models", local=True)) == ()
