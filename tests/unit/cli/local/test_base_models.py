"""The model of another job in local mode: its address takes the place of `job://NAME`, or the job is refused with what it lacks."""

from __future__ import annotations

from typing import Any

import pytest
from local_manifests import fine_tune_job

from tuneloop_cli.local.base_models import with_base_model
from tuneloop_cli.local.errors import NotAccepted
from tuneloop_cli.local.submission import trained_identity

CONDITION = {"status": "True", "reason": "A", "message": "", "lastTransitionTime": "2026-01-01T12:00:00Z"}


def job(uri: str) -> dict[str, Any]:
    manifest = fine_tune_job()
    return manifest | {"spec": manifest["spec"] | {"model": {"uri": uri}}}


def done(folder: str) -> dict[str, Any]:
    artifact = {"uri": f"pvc://default/jobs/{folder}/artifact", "digest": "sha256:" + 64 * "a", "sizeBytes": 1}
    status = {"phase": "Succeeded", "artifact": artifact, "conditions": [CONDITION | {"type": "Complete"}]}
    return job("hf://a/b") | {"status": status}


def test_the_address_of_what_was_published_takes_its_place() -> None:
    asked = job("job://domain")
    names: list[str] = []
    found = with_base_model(asked, lambda name: (names.append(name), done("domain-1"))[1])
    assert found["spec"]["model"]["uri"] == "pvc://default/jobs/domain-1/artifact/model"
    assert asked["spec"]["model"]["uri"] == "job://domain"
    assert names == ["domain"]


def test_the_job_is_another_run_once_the_other_has_made_another_model() -> None:
    first, second = (with_base_model(job("job://domain"), lambda _, folder=folder: done(folder)) for folder in ("domain-1", "domain-2"))  # fmt: skip
    assert trained_identity(first) != trained_identity(second)


def test_other_addresses_stay() -> None:
    plain = job("pvc://models/bert")
    assert with_base_model(plain, lambda _: None) == plain


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (None, "there is no FineTuneJob domain"),
        (job("hf://a/b"), "FineTuneJob domain is Pending"),
        ({"spec": {}}, "FineTuneJob domain cannot be read"),
    ],
)
def test_a_job_without_a_model_to_begin_with_is_refused(stored: dict[str, Any] | None, words: str) -> None:
    with pytest.raises(NotAccepted, match=words):
        with_base_model(job("job://domain"), lambda _: stored)
