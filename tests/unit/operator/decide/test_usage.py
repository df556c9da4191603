"""What a gang has used: seconds, GPU seconds, lost steps and goodput, by the times of its pods and its checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, TRAINING, a_job, ended, gang_job, observed, pod_of, seconds

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.decide.fine_tune_job.usage import with_usage

SINCE = "2026-01-01T12:00:00Z"
"""NOW, as a stamp."""


def used(
    pods: tuple[Any, ...] = (),
    *,
    after: float = 100.0,
    steps: tuple[int | None, int | None] = (0, 10),
    step_seconds: float | None = None,
    gpus: int = 4,
    **status: Any,
) -> dict[str, Any]:
    """Return the usage of a gang of two nodes that is over `after` seconds from NOW."""
    before = FineTuneJobStatus.from_wire(TRAINING | {"runningSince": SINCE} | status)
    job = a_job(TRAINING, resources={"nodes": 2, "gpusPerNode": gpus})
    observed_job = observed(job, jobs=(gang_job(),), pods=pods)
    counted = with_usage(observed_job, before, steps=steps, step_seconds=step_seconds, now=NOW + seconds(after))
    assert counted.running_since is None
    return counted.to_wire().get("usage", {})


def saved(step: int) -> dict[str, Any]:
    return {"checkpoint": {"latest": {"step": step}}}


def pods(*ends: float) -> tuple[Any, ...]:
    """Return pods that ended so many seconds after NOW."""
    return tuple(pod_of(gang_job(), index, phase="Failed", ended=ended(1, at=at)) for index, at in enumerate(ends))


@pytest.mark.parametrize(
    ("given", "usage"),
    [
        pytest.param({}, {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 0.0, "lostSteps": 10, "goodput": 0.0}, id="nothing was saved"),
        pytest.param({"gpus": 0}, {"gpuSeconds": 0.0, "activeSeconds": 100.0, "usefulSeconds": 0.0, "lostSteps": 10, "goodput": 0.0}, id="on CPU"),
        pytest.param({"step_seconds": 50.0} | saved(10), {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 50.0, "lostSteps": 0, "goodput": 0.5}, id="all was saved"),
        pytest.param({"step_seconds": 50.0} | saved(8), {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 40.0, "lostSteps": 2, "goodput": 0.4}, id="a fifth is lost"),
        pytest.param({"step_seconds": 500.0} | saved(10), {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 100.0, "lostSteps": 0, "goodput": 1.0}, id="no more is useful than ran"),
        pytest.param({"steps": (5, 15), "step_seconds": 50.0} | saved(3), {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 0.0, "lostSteps": 10, "goodput": 0.0}, id="the checkpoint is that of an earlier attempt"),
        pytest.param({"steps": (5, 15), "step_seconds": 50.0} | saved(20), {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 50.0, "lostSteps": 0, "goodput": 0.5}, id="the checkpoint is newer than what was told"),
        pytest.param({"steps": (5, 5), "step_seconds": 50.0} | saved(5), {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 0.0, "lostSteps": 0, "goodput": 0.0}, id="no step was made"),
        pytest.param({"steps": (7, 5)}, {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 0.0, "lostSteps": 0, "goodput": 0.0}, id="steps that go back"),
        pytest.param({"steps": (None, 5), "step_seconds": 50.0}, {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 0.0, "lostSteps": 0, "goodput": 0.0}, id="the first step is not known"),
        pytest.param({"steps": (5, None), "step_seconds": 50.0}, {"gpuSeconds": 800.0, "activeSeconds": 100.0, "usefulSeconds": 0.0, "lostSteps": 0, "goodput": 0.0}, id="the last step is not known"),
        pytest.param({"after": 0.0}, {"gpuSeconds": 0.0, "activeSeconds": 0.0, "usefulSeconds": 0.0, "lostSteps": 10}, id="no time passed"),
        pytest.param({"after": -5.0}, {"gpuSeconds": 0.0, "activeSeconds": 0.0, "usefulSeconds": 0.0, "lostSteps": 10}, id="the clock was set back"),
        pytest.param({"nodes": 1}, {"gpuSeconds": 400.0, "activeSeconds": 100.0, "usefulSeconds": 0.0, "lostSteps": 10, "goodput": 0.0}, id="a smaller gang"),
        pytest.param({"after": 1 / 3, "step_seconds": 1 / 7} | saved(10), {"gpuSeconds": 2.667, "activeSeconds": 0.333, "usefulSeconds": 0.143, "lostSteps": 0, "goodput": 0.4286}, id="rounded"),
    ],
)  # fmt: skip
def test_the_usage_of_one_gang(given: dict[str, Any], usage: dict[str, Any]) -> None:
    assert used(**given) == usage


def test_usage_adds_up() -> None:
    before = {"gpuSeconds": 1000.0, "activeSeconds": 300.0, "usefulSeconds": 150.0, "lostSteps": 7, "goodput": 0.5}
    assert used(usage=before, step_seconds=50.0, **saved(8)) == {
        "gpuSeconds": 1800.0,
        "activeSeconds": 400.0,
        "usefulSeconds": 190.0,
        "lostSteps": 9,
        "goodput": 0.475,
    }


BEAT = {"progress": {"lastHeartbeat": "2026-01-01T12:00:30Z"}}
FUTURE = {"progress": {"lastHeartbeat": "2026-01-01T13:00:00Z"}}
SILENT = tuple(pod_of(gang_job(), index, phase="Failed") for index in (0, 1))
HALF = (SILENT[0], pod_of(gang_job(), 1))


@pytest.mark.parametrize(
    ("gang", "status", "active"),
    [
        pytest.param(pods(20, 40), {}, 40.0, id="the last pod that ended"),
        pytest.param(pods(20, 400), {}, 100.0, id="not later than now"),
        pytest.param((*pods(20), pod_of(gang_job(), 1)), BEAT, 20.0, id="one pod ended"),
        pytest.param(SILENT, BEAT, 30.0, id="the last heartbeat of pods without an end time"),
        pytest.param(SILENT, FUTURE, 100.0, id="a heartbeat of another clock"),
        pytest.param(SILENT, {}, 100.0, id="no heartbeat"),
        pytest.param(HALF, BEAT, 100.0, id="a pod may run"),
        pytest.param((), BEAT, 100.0, id="no pod is known"),
    ],
)
def test_a_gang_is_counted_until_it_stopped(gang: tuple[Any, ...], status: dict[str, Any], active: float) -> None:
    assert used(gang, **status)["activeSeconds"] == active


def test_a_gang_that_never_ran_has_used_nothing() -> None:
    before = FineTuneJobStatus.from_wire(TRAINING)
    observed_job = observed(a_job(TRAINING), jobs=(gang_job(),))
    assert with_usage(observed_job, before, steps=(0, 9), step_seconds=1.0, now=NOW) is before


def test_a_gang_that_came_up_while_no_operator_ran_is_counted_from_its_pods() -> None:
    before = FineTuneJobStatus.from_wire(TRAINING)
    gang = tuple(pod_of(gang_job(), index, started=NOW + seconds(10 * index)) for index in (0, 1))
    observed_job = observed(a_job(TRAINING), jobs=(gang_job(),), pods=gang)
    counted = with_usage(observed_job, before, steps=(0, 9), step_seconds=1.0, now=NOW + seconds(60))
    assert counted.usage is not None
    assert counted.usage.active_seconds == 50.0
