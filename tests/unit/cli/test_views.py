"""The views of a job: rows, pages, live lines and closing lines."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.console import Console
from stored_conditions import condition

from tuneloop_cli.views.kinds import view_of
from tuneloop_cli.views.page import page
from tuneloop_cli.views.progress import live, plain_line
from tuneloop_cli.views.result import result
from tuneloop_cli.views.rollout import rollout_story
from tuneloop_cli.views.table import table
from tuneloop_cli.views.values import span

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def job(**status: object) -> dict:
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "reviews", "namespace": "default", "creationTimestamp": "2026-01-01T11:45:00+00:00"},
        "spec": {"model": {"uri": "pvc://demo/minilm"}},
        "status": status,
    }


RUNNING = job(
    phase="Running",
    workers="2/2",
    progress={
        "percent": "45%",
        "step": 113,
        "totalSteps": 252,
        "loss": 0.31234,
        "eta": "2m",
        "tokensPerSecond": 5312.4,
    },
    restarts={"total": 1},
    conditions=[condition("Accepted", reason="Accepted"), condition("PodsReady", reason="AllReady")],
)


def test_get_shows_the_columns_of_kubectl() -> None:
    header, row = table("FineTuneJob", [RUNNING], now=NOW, has_session=True).splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "STEP", "LOSS", "ETA", "WORKERS", "PODS", "RESTARTS", "AGE"]
    assert row.split() == ["reviews", "Running", "45%", "113", "0.3123", "2m", "2/2", "AllReady", "1", "15m"]


DEPLOYMENT = {"kind": "ModelDeployment", "metadata": {"name": "reviews"}, "status": {"phase": "Ready"}}


@pytest.mark.parametrize(
    ("manifest", "has_session", "note"),
    [
        pytest.param(RUNNING, False, "(not running: tuneloop run -f … goes on)", id="a job that was killed"),
        pytest.param(RUNNING, True, "", id="a job in a session"),
        pytest.param(job(phase="Succeeded"), False, "", id="a job that is over"),
        pytest.param(job(phase="Suspended"), False, "", id="a job that was stopped"),
        pytest.param(job(), False, "", id="a job that never began"),
        pytest.param(DEPLOYMENT, False, "(not running: tuneloop serve -f … starts it again)", id="a server that was killed"),
    ],
)  # fmt: skip
def test_a_phase_without_a_session_has_a_note(manifest: dict, has_session: bool, note: str) -> None:
    _, row = table(manifest["kind"], [manifest], now=NOW, has_session=has_session).splitlines()
    assert row.endswith(note)
    assert ("not running" in row) == ("not running" in page(manifest, now=NOW, has_session=has_session)) == bool(note)


def test_a_plain_line_says_how_far_it_is() -> None:
    assert plain_line(RUNNING) == "Running  45%  step 113/252  loss 0.3123  5,312 tokens/s  ETA 2m  restarts 1"


def test_a_result_on_the_validation_split_is_distinguished_from_the_training_loss() -> None:
    line = plain_line(job(phase="Running", progress={"loss": 0.25, "evaluation": {"name": "loss", "value": 0.5}}))
    assert line == "Running  loss 0.2500  validation loss 0.5000"


def test_the_live_view_marks_the_present_stage() -> None:
    console = Console(width=120, record=True, color_system=None)
    console.print(live(RUNNING, elapsed="3m"))
    shown = console.export_text()
    assert "✓ prepare  ▸ train  · export" in shown
    assert "45%" in shown


def test_a_failure_ends_with_message_hint_and_log() -> None:
    failed = job(
        phase="Failed",
        failure={"class": "Data", "stage": "prepare", "message": "no column 'text'", "hint": "set columns.text"},
    )
    assert result(failed).splitlines() == [
        "reviews failed in prepare: Data",
        "error: no column 'text'",
        "hint:  set columns.text",
        "log:   tuneloop logs reviews",
    ]


def test_a_stop_says_how_to_go_on() -> None:
    stopped = job(phase="Suspended", checkpoint={"latest": {"step": 50}})
    assert result(stopped) == "reviews stopped; checkpoint of step 50 is kept. Run the same command again to go on."


def test_describe_tells_the_story() -> None:
    text = page(
        job(
            phase="Running",
            history=[{"attempt": 1, "startStep": 0, "endStep": 57, "reason": "Failed", "class": "NodeLost"}],
            checkpoint={"latest": {"step": 50, "time": "2026-01-01T11:59:00+00:00"}},
        ),
        now=NOW,
        has_session=True,
    )
    assert "1         0 to 57   Failed    NodeLost" in text
    assert "step 50 (1m00s ago)" in text


def test_describe_shows_what_the_process_wrote_last_line_by_line() -> None:
    failure = {
        "class": "UserCode",
        "message": "odd shape",
        "lastLines": ["Traceback", "  File x, line 3", "ValueError"],
    }
    text = page(job(phase="Failed", failure=failure), now=NOW, has_session=False)
    assert "  lastLines:\n    Traceback\n      File x, line 3\n    ValueError" in text


def test_describe_keeps_to_its_width_and_leaves_out_what_is_not_there() -> None:
    words = "the claim is full " * 12
    text = page(
        job(
            phase="Running",
            attempt=3,
            nodes=1,
            restarts={"total": 2, "failure": 2, "disruption": 0, "withoutProgress": 1, "lastReason": "Storage"},
            failure={"class": "Storage", "message": words, "hint": words},
            history=[{"attempt": 1, "startStep": 0, "reason": "Failed", "class": "Storage"}],
            conditions=[
                {
                    "type": "Accepted",
                    "status": "True",
                    "reason": "Valid",
                    "message": words,
                    "lastTransitionTime": "2026-01-01T11:59:00Z",
                }
            ],
        ),
        now=NOW,
        has_session=True,
    )
    assert max(map(len, text.splitlines())) <= 110
    assert "Usage" not in text
    assert "NODE" not in text
    assert " ".join(text.split()).count("the claim is full") == 36


def test_describe_says_what_the_job_has_used_and_planned() -> None:
    usage = {"gpuSeconds": 5400.0, "activeSeconds": 2700.0, "usefulSeconds": 2500.0, "lostSteps": 31, "goodput": 0.9259}
    plan = {"weights": 90_596_966, "activations": 181_193_932, "total": 271_790_898}
    text = page(job(phase="Succeeded", usage=usage, resolved={"memory": plan, "stage": 0}), now=NOW, has_session=False)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert {"GPU hours: 1.50", "training ran: 45m", "goodput: 93%", "steps made again: 31"} <= {*lines}
    assert {"weights 86.4 MiB 33%", "activations 172.8 MiB 67%", "total 259.2 MiB", "stage: 0"} <= {*lines}


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (75, "1m15s"), (700, "11m"), (7300, "2h"), (200000, "2d")])
def test_spans_are_short(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_roll_out_in_one_line_is_its_phase_and_the_operators_sentence() -> None:
    sentence = "step 2 of 4: 25 % to 7d1f0000, 312 of 500 requests; gate errors Inconclusive (harm 0.1 %, margin 1 %)"
    ready = condition("Ready", true=False, reason="Progressing", message=sentence)
    status = {"rollout": {"phase": "Progressing"}, "conditions": [ready]}
    assert rollout_story(DEPLOYMENT | {"status": status}) == f"Progressing: {sentence}"


def test_the_page_of_a_deployment_tells_its_roll_out() -> None:
    rejected = {
        "revision": "99ff0000",
        "reason": "Broken",
        "failure": "OutOfMemory",
        "message": "no memory",
        "time": "2026-01-01T11:00:00Z",
    }
    status = {
        "phase": "Progressing",
        "failure": {
            "revision": "7d1f0000",
            "class": "ModelLoadFailed",
            "hint": "train again",
            "lastLines": ["KeyError"],
        },
        "stable": {
            "revision": "03ab0000",
            "readyReplicas": 2,
            "failure": {"revision": "03ab0000", "class": "ImagePull"},
        },
        "canary": {"revision": "7d1f0000", "readyReplicas": 1},
        "rollout": {
            "phase": "Paused",
            "message": "a person must approve",
            "canary": "7d1f0000",
            "share": "7d1f0000 25%",
            "step": 2,
            "split": {"weights": [{"revision": "7d1f0000", "weight": 25}, {"revision": "03ab0000", "weight": 75}]},
            "gates": [{"name": "errors", "verdict": "Inconclusive", "action": "Hold", "reason": "harm 0.1 %"}],
            "routers": [{"name": "api-router-x", "generation": 4}, {"name": "api-router-y"}],
            "rejected": [rejected],
        },
    }
    lines = page(DEPLOYMENT | {"status": status}, now=NOW, has_session=True).splitlines()
    for line in (
        "Failure:",
        "  class:              ModelLoadFailed",
        "  hint:               train again",
        "  lastLines:",
        "    KeyError",
        "Failure of stable:",
        "  class:              ImagePull",
        "Canary:",
        "  revision:           7d1f0000",
        "Roll-out:",
        "  phase:              Paused",
        "  step:               2",
        "  requests:           7d1f0000 25%, 03ab0000 75%",
        "  why:                a person must approve",
        "  next:               tuneloop rollout approve reviews, or abort",
        "  gate:               errors Inconclusive: harm 0.1 %",
        "  router:             api-router-x follows generation 4",
        "  router:             api-router-y follows nothing yet",
        "  rejected:           99ff0000, Broken (OutOfMemory): no memory",
    ):
        assert line in lines
    assert "Roll-out:" not in page(DEPLOYMENT, now=NOW, has_session=True).splitlines()
    assert view_of(DEPLOYMENT).line(DEPLOYMENT | {"status": status}) == "Progressing  7d1f0000 25%"


@pytest.mark.parametrize("role", ["stable", "canary"])
@pytest.mark.parametrize(
    ("digest", "shown"),
    [("sha256:ab", "sha256:ab"), ("", "not recorded; servers check the one that spec.model.digest names")],
)
def test_a_digest_that_nobody_has_named_is_not_an_empty_line(role: str, digest: str, shown: str) -> None:
    revision = {"revision": "7d1f0000", "digest": digest, "uri": "pvc://models/a"}
    lines = page(DEPLOYMENT | {"status": {role: revision}}, now=NOW, has_session=True).splitlines()
    assert f"  digest:             {shown}" in lines
