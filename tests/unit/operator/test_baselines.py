"""The baseline of a revision: when it is captured, why it is waited for, and what ends it. On a cluster in memory, where Prometheus answers as the test says."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from log_records import messages_of
from monitored_in_memory import DAY, DOWN, EMPTY, ENOUGH, FEW, HOUR, Monitored, counts, served
from operator_harness import START

from tuneloop_api.v1alpha1.model_deployment.monitoring_status import MOST_BINS, MOST_FEATURES
from tuneloop_operator.controller.baselines import Baselines
from tuneloop_operator.state.conditions import stamp

if TYPE_CHECKING:
    from tuneloop_operator.prometheus.answer import VectorAnswer
    from tuneloop_operator.prometheus.query import PromQL


def test_after_the_window_the_counts_of_the_stable_revision_are_kept() -> None:
    async def story() -> None:
        monitored, revision = await served(baselineWindow="6h")
        since = monitored.monitoring["since"]
        assert monitored.ready_condition == ("False", "BaselineWindow")
        await monitored.pass_(6 * HOUR - 120)
        assert (monitored.asked, monitored.ready_condition) == ([], ("False", "BaselineWindow"))
        await monitored.pass_(300.0)
        assert monitored.monitoring["baseline"] == {
            "revision": revision,
            "from": since,
            "to": stamp(monitored.harness.now),
            "features": [{"name": "tokens", "counts": [300, 200, 500]}],
        }
        assert monitored.ready_condition == ("True", "BaselineCaptured")
        assert "of 1000 texts at least" in monitored.message("MonitoringReady")

    asyncio.run(story())


def test_the_question_names_the_revision_and_the_whole_window() -> None:
    async def story() -> None:
        monitored, revision = await served(baselineWindow="6h")
        await monitored.pass_(7 * HOUR)
        (query,) = monitored.asked
        names = f'namespace="team-a",deployment="api",revision="{revision}"'
        age = int((monitored.harness.now - START).total_seconds())
        assert query.startswith(f"sum by (feature,bin) (increase(tuneloop_feature_bin_total{{{names}}}[")
        assert 7 * HOUR <= int(query.split("[")[1].split("s]")[0]) <= age

    asyncio.run(story())


def test_a_window_is_a_day_unless_it_is_given() -> None:
    async def story() -> None:
        monitored, _ = await served()
        await monitored.pass_(DAY - 120)
        assert monitored.asked == []
        await monitored.pass_(300.0)
        assert monitored.ready_condition == ("True", "BaselineCaptured")

    asyncio.run(story())


def test_it_is_captured_once() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        await monitored.pass_(2 * HOUR)
        captured = monitored.monitoring
        monitored.series = counts(900.0, 1.0, 1.0)
        for _ in range(3):
            await monitored.pass_(DAY)
        assert monitored.monitoring == captured
        assert len(monitored.asked) == 1

    asyncio.run(story())


def test_it_survives_a_restart_of_the_operator() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="3h")
        await monitored.pass_(HOUR)
        since = monitored.monitoring["since"]
        await monitored.restart()
        await monitored.pass_(HOUR)
        assert (monitored.monitoring["since"], monitored.asked) == (since, [])
        await monitored.pass_(2 * HOUR)
        captured = monitored.monitoring
        assert captured["baseline"]["from"] == since
        await monitored.restart()
        await monitored.pass_(DAY)
        assert monitored.monitoring == captured
        assert monitored.ready_condition == ("True", "BaselineCaptured")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("series", "reason", "sentence"),
    [
        pytest.param(FEW, "TooFewSamples", "200 texts are needed, and feature tokens has 120", id="few texts"),
        pytest.param(DOWN, "PrometheusError", "Connection refused", id="Prometheus is down"),
        pytest.param(EMPTY, "NoData", "its artifact has no monitoring.json", id="no features"),
        pytest.param(counts(500.0), "UnusableCounts", "has 1 bins", id="counts that no server makes"),
    ],
)
def test_what_is_no_baseline_delays_it_and_says_so(series, reason, sentence) -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        since = monitored.monitoring["since"]
        monitored.series = series
        await monitored.pass_(2 * HOUR)
        assert monitored.ready_condition == ("False", reason)
        assert sentence in monitored.message("MonitoringReady")
        assert "baseline" not in monitored.monitoring
        assert monitored.condition("Ready") == ("True", "AllReady")
        monitored.series = ENOUGH
        await monitored.pass_(HOUR)
        assert monitored.ready_condition == ("True", "BaselineCaptured")
        assert monitored.monitoring["baseline"]["from"] == since, "the window goes on"

    asyncio.run(story())


def test_while_a_revision_bakes_nothing_is_counted_and_the_earlier_baseline_is_dropped() -> None:
    async def story() -> None:
        monitored, old = await served(baselineWindow="1h")
        await monitored.pass_(2 * HOUR)
        assert monitored.monitoring["baseline"]["revision"] == old
        new = await monitored.promote()
        assert monitored.monitoring == {"revision": new}
        assert monitored.ready_condition == ("False", "Baking")
        await monitored.pass_(HOUR)
        assert (monitored.ready_condition, len(monitored.asked)) == (("False", "Baking"), 1)
        await monitored.pass_(2 * HOUR)
        assert monitored.status["rollout"]["phase"] == "Done"
        assert monitored.ready_condition == ("False", "BaselineWindow")
        begin = monitored.monitoring["since"]
        await monitored.pass_(2 * HOUR)
        assert monitored.monitoring["baseline"]["revision"] == new
        assert monitored.monitoring["baseline"]["from"] >= begin

    asyncio.run(story())


def test_a_canary_leaves_the_baseline_of_stable_alone() -> None:
    async def story() -> None:
        monitored, old = await served(baselineWindow="1h")
        await monitored.pass_(2 * HOUR)
        captured = monitored.monitoring
        await monitored.offer()
        assert monitored.status["rollout"]["canary"] != old
        assert monitored.monitoring == captured
        assert monitored.ready_condition == ("True", "BaselineCaptured")

    asyncio.run(story())


def test_no_baseline_is_captured_beside_a_canary() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        await monitored.offer()
        await monitored.pass_(2 * HOUR)
        assert (monitored.ready_condition, monitored.asked) == (("False", "RolloutInProgress"), [])
        await monitored.command("abort/1")
        await monitored.pass_(HOUR)
        assert monitored.ready_condition == ("True", "BaselineCaptured")

    asyncio.run(story())


def test_an_answer_about_an_earlier_window_is_not_taken() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        monitored.series = FEW
        await monitored.pass_(2 * HOUR)
        new = await monitored.promote()
        monitored.series = ENOUGH
        operator = monitored.harness.operator
        answer = operator.store.query_answers.baseline_of(monitored.stored["metadata"]["uid"])
        assert answer is not None
        assert answer.revision != new
        await monitored.settle(later=3 * HOUR)  # no round of questions meanwhile
        assert "baseline" not in monitored.monitoring
        assert monitored.ready_condition == ("False", "BaselineWindow")

    asyncio.run(story())


def test_without_prometheus_it_says_so_and_nothing_else_changes() -> None:
    async def story() -> None:
        monitored, revision = await served(has_prometheus=False)
        await monitored.pass_(2 * DAY)
        assert monitored.ready_condition == ("False", "NoPrometheus")
        assert "TUNELOOP_PROMETHEUS_URL" in monitored.message("MonitoringReady")
        assert (monitored.monitoring, monitored.asked) == ({"revision": revision}, [])
        assert monitored.condition("Ready") == ("True", "AllReady")

    asyncio.run(story())


def test_without_monitoring_there_is_neither_condition_nor_memory() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        await monitored.pass_(2 * HOUR)
        spec = {name: value for name, value in monitored.stored["spec"].items() if name != "monitoring"}
        monitored.harness.cluster.change(monitored.stored, spec=spec)
        await monitored.pass_(HOUR)
        assert "monitoring" not in monitored.status
        assert monitored.ready_condition is None

    asyncio.run(story())


def test_a_deployment_without_rollouts_begins_once_it_answers() -> None:
    async def story() -> None:
        monitored = Monitored(baselineWindow="1h")
        metadata = {"name": "api", "namespace": "team-a"}
        manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
        spec = {"model": {"uri": "pvc://models/artifact"}, "replicas": 1, "monitoring": {"baselineWindow": "1h"}}
        monitored.harness.cluster.add(manifest | {"spec": spec})
        await monitored.pass_(2 * HOUR)
        assert monitored.ready_condition == ("False", "NoRevision")
        assert "monitoring" not in monitored.status
        (revision,) = monitored.revisions
        await monitored.ready(revision, 1)
        assert monitored.ready_condition == ("False", "BaselineWindow")
        await monitored.pass_(2 * HOUR)
        assert monitored.monitoring["baseline"]["revision"] == revision
        await monitored.change(batching={"maxBatchSize": 3})
        assert monitored.monitoring["baseline"]["revision"] == revision, "it still answers"
        (new,) = set(monitored.revisions) - {revision}
        await monitored.ready(new, 1)
        assert monitored.monitoring["revision"] == new
        assert "baseline" not in monitored.monitoring

    asyncio.run(story())


def test_who_does_not_lead_asks_nothing() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        monitored.leads = False
        await monitored.pass_(2 * HOUR)
        assert monitored.asked == []

    asyncio.run(story())


def test_answers_are_counted_by_their_result() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        for series in (EMPTY, DOWN, ENOUGH):
            monitored.series = series
            await monitored.pass_(2 * HOUR)
        assert monitored.results == ["NoData", "Error", "Number"]

    asyncio.run(story())


def test_a_defect_at_one_deployment_stops_no_other() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        await monitored.settle(later=2 * HOUR)

        async def broken(_: PromQL) -> VectorAnswer:
            raise RuntimeError("a defect")

        await Baselines(monitored.harness.operator, ask=broken, clock=lambda: monitored.harness.now).ask_all()

    with messages_of("tuneloop_operator.controller.baselines") as messages:
        asyncio.run(story())
    assert messages[0].startswith("ModelDeployment team-a/api: baseline")


def test_the_largest_baseline_takes_a_tenth_of_a_status() -> None:
    async def story() -> None:
        monitored, _ = await served(baselineWindow="1h")
        monitored.series = tuple(
            series
            for feature in range(MOST_FEATURES)
            for series in counts(*MOST_BINS * [2.0**31], feature=f"feature-{feature}-{40 * 'a'}")
        )
        await monitored.pass_(2 * HOUR)
        assert len(monitored.monitoring["baseline"]["features"]) == MOST_FEATURES
        assert len(json.dumps(monitored.status)) < 20 * 1024

    asyncio.run(story())
