"""`tuneloop serve` ends where waiting cannot make a server ready."""

from __future__ import annotations

import pytest

from tuneloop_cli.commands.serve import require_can_become_ready
from tuneloop_cli.exits import Exit, TuneloopExit

WORDS = "pod p ended with exit code 66: manifest.json cannot be read"


def deployment(*conditions: tuple[str, str, str]) -> dict[str, object]:
    found = [{"type": type_, "status": status, "reason": reason, "message": WORDS} for type_, status, reason in conditions]  # fmt: skip
    return {"status": {"conditions": found}}


@pytest.mark.parametrize(
    "reason", ["ServerEnded", "ArtifactMissing", "ArtifactNotReadable", "DigestMismatch", "ModelLoadFailed"]
)
def test_a_server_that_ended_is_named_in_its_own_words_alone(reason):
    with pytest.raises(TuneloopExit) as ended:
        require_can_become_ready(deployment(("ModelAvailable", "False", reason), ("Ready", "False", reason)))
    assert (str(ended.value), ended.value.code) == (WORDS, Exit.FAILED)


def test_the_hint_of_the_failure_follows():
    found = deployment(("Ready", "False", "ModelLoadFailed"))
    found["status"] |= {"failure": {"class": "ModelLoadFailed", "hint": "train again"}}
    with pytest.raises(TuneloopExit) as ended:
        require_can_become_ready(found)
    assert str(ended.value) == f"{WORDS}\nhint: train again"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("JobNotFound", ". First: tuneloop run -f JOB.yaml"),
        ("JobNotFinished", ". First: tuneloop run -f JOB.yaml"),
        ("JobFailed", ". First: tuneloop run -f JOB.yaml"),
        ("JobNotReadable", ""),
        ("AdapterAlone", ""),
    ],
)
def test_a_model_that_is_not_there_is_named_and_a_run_is_advised_where_it_helps(reason, advice):
    with pytest.raises(TuneloopExit) as ended:
        require_can_become_ready(deployment(("ModelAvailable", "False", reason)))
    assert str(ended.value) == f"{WORDS}{advice}"


@pytest.mark.parametrize("reason", ["Loading", "Progressing", "OutOfMemory", "ImagePull"])
def test_a_server_that_may_come_is_waited_for(reason):
    require_can_become_ready(deployment(("ModelAvailable", "Unknown", "NotRead"), ("Ready", "False", reason)))
