"""`tuneloop explain`: one line why a model is trained again or not, then the details."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_cli.commands.explain import explain
from tuneloop_cli.exits import TuneloopExit
from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_cli.views.retraining import retraining_lines, retraining_story

RUN: dict[str, Any] = {
    "job": "reviews-1a2b3c4d",
    "trigger": "manual",
    "startedAt": "2026-01-01T10:00:00Z",
    "outcome": "Rejected",
    "reason": "gate errors failed",
    "endedAt": "2026-01-01T12:00:00Z",
}
LOOP: dict[str, Any] = {
    "state": "Blocked",
    "blockedReason": "Cooldown",
    "message": "manual fires: asked; blocked: run reviews-1a2b3c4d ended as Rejected; until 2026-01-03T12:00:00Z",
    "nextEligibleTime": "2026-01-03T12:00:00Z",
    "budget": {"runs": 3, "gpuSeconds": 7200.0},
    "setbacks": 1,
    "triggers": [{"name": "manual", "type": "manual", "state": "Firing", "since": "2026-01-02T00:00:00Z", "reason": "asked"}],
    "choice": {"job": "reviews-00000000", "uri": "pvc://a/b", "digest": "sha256:1"},
    "history": [RUN, RUN | {"job": "reviews-5e6f7a8b", "outcome": "Failed"}],
}  # fmt: skip


def deployment(loop: dict[str, Any] | None, **spec: Any) -> dict[str, Any]:
    status = {"retraining": loop} if loop else {}
    return {"kind": "ModelDeployment", "metadata": {"name": "reviews"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (deployment(LOOP), f"Blocked (Cooldown): {LOOP['message']}"),
        (deployment({"state": "Idle", "message": "no trigger fires"}), "Idle: no trigger fires"),
        (deployment(None), "Idle: spec.retraining is not set; the model is never trained again by itself"),
        (deployment(None, retraining={"enabled": True}), "Idle: the operator has not looked at it yet"),
    ],
)
def test_one_line_says_why(given: dict[str, Any], line: str) -> None:
    assert retraining_story(given) == line


def test_the_details_name_budget_triggers_and_runs_the_newest_first() -> None:
    text = "\n".join(retraining_lines(deployment(LOOP)))
    assert "3 runs, 2 GPU hours left" in text
    assert "manual Firing since 2026-01-02T00:00:00Z: asked" in text
    assert "the model of run reviews-00000000, in place of spec.model" in text
    assert text.index("reviews-5e6f7a8b") < text.rindex("reviews-1a2b3c4d")
    assert "Rejected at 2026-01-01T12:00:00Z: gate errors failed" in " ".join(text.split())


@pytest.mark.parametrize(("stable", "name"), [("sha256:1", "serves"), ("sha256:0", "chosen")])
def test_a_model_that_was_taken_back_after_its_run_does_not_serve(stable: str, name: str) -> None:
    found = deployment(LOOP)
    found["status"]["stable"] = {"digest": stable}
    lines = [line.split(":")[0] for line in retraining_lines(found) if "in place of spec.model" in line]
    assert lines == [name]


def test_a_run_in_flight_has_no_outcome() -> None:
    run = {name: RUN[name] for name in ("job", "trigger", "startedAt")}
    assert "in flight" in "\n".join(retraining_lines(deployment(LOOP | {"history": [run]})))


@pytest.mark.parametrize("target", ["mdep/reviews", "modeldeployment/reviews", "reviews"])
def test_explain_finds_the_deployment(target: str, tmp_path: Any, capsys: Any) -> None:
    write(tmp_path)
    explain(target, folder=tmp_path)
    assert capsys.readouterr().out.startswith("reviews: Blocked (Cooldown): manual fires")


@pytest.mark.parametrize(("target", "words"), [("ftj/reviews", "only a ModelDeployment retrains"), ("other", "no ModelDeployment")])  # fmt: skip
def test_explain_says_what_it_cannot_explain(target: str, words: str, tmp_path: Any) -> None:
    write(tmp_path)
    with pytest.raises(TuneloopExit, match=words):
        explain(target, folder=tmp_path)


def write(folder: Any) -> None:
    manifest = deployment(LOOP) | {"apiVersion": "tuneloop.dev/v1alpha1"}
    manifest["metadata"] |= {"namespace": "default", "uid": "u", "resourceVersion": "1"}
    ObjectFiles(folder).write(manifest)
