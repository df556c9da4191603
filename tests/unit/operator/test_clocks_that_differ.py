"""Clocks of nodes that are wrong by hours: no deadline passes too early, and none too late by more than a clock can hide."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from operator_harness import OperatorHarness
from stage_messages import failure

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.state.conditions import moment

SKEWS = [pytest.param(timedelta(hours=hours), id=f"a node {hours:+} h") for hours in (-2, 2)]


def shifted(harness: OperatorHarness, by: timedelta, *, names: tuple[str, ...] = ("startedAt", "finishedAt")) -> None:
    """Let the times of containers be of a clock that differs. names: those that were not shifted before."""

    def moved(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: moved(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [moved(item) for item in value]
        return stamp(moment(value) + by) if key in names else value

    for pod in list(harness.cluster.of_kind("Pod").values()):
        if pod["metadata"]["labels"]["tuneloop.dev/stage"] == "train":
            harness.cluster.change(pod, status=moved(pod["status"]))


def stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("skew", SKEWS)
def test_the_running_time_is_that_of_the_api_server(harness: OperatorHarness, skew: timedelta) -> None:
    async def life() -> None:
        await harness.prepare(activeDeadlineSeconds=3600)
        harness.now += timedelta(seconds=60)
        created = harness.now
        harness.start_pods("reviews-a1")
        shifted(harness, skew)
        await harness.settle()
        assert created <= moment(harness.status["runningSince"]) <= harness.now
        await harness.settle(later=3599)
        assert harness.status["phase"] == "Running"
        await harness.settle(later=2)
        assert harness.status["failure"]["class"] == "DeadlineExceeded"

    asyncio.run(life())


@pytest.mark.parametrize("skew", SKEWS)
def test_a_pod_that_fails_is_one_of_this_run_and_its_time_is_counted_once(
    harness: OperatorHarness, skew: timedelta
) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.start_pods("reviews-a1")
        shifted(harness, skew)
        await harness.settle()
        harness.now += timedelta(seconds=100)
        for index in (0, 1):
            harness.end_pod(f"reviews-a1-{index}", exit_code=78)
        shifted(harness, skew, names=("finishedAt",))
        harness.end_job("reviews-a1", "FailureTarget")
        await harness.settle()
        assert harness.status["failure"]["class"] == "Config"
        assert 0 <= harness.status["usage"]["activeSeconds"] <= 100

    asyncio.run(life())


@pytest.mark.parametrize("skew", SKEWS)
def test_the_checkpoint_that_a_gang_names_at_its_end_is_known(harness: OperatorHarness, skew: timedelta) -> None:
    async def life() -> None:
        await harness.prepare()
        harness.start_pods("reviews-a1")
        shifted(harness, skew)
        await harness.settle()
        harness.now += timedelta(seconds=100)
        for index in (0, 1):
            message = failure(FailureClass.COLLECTIVE, stage="train", index=index, saved_step=20)
            harness.end_pod(f"reviews-a1-{index}", exit_code=ExitCode.COLLECTIVE, message=message)
        shifted(harness, skew, names=("finishedAt",))
        harness.end_job("reviews-a1", "FailureTarget")
        await harness.settle()
        assert harness.status["checkpoint"]["latest"]["step"] == 20
        assert harness.status["history"][-1]["endStep"] == 20

    asyncio.run(life())
