"""Roll-outs with gates on a cluster in memory: a good model takes over with its numbers, a worse one is brought back and remembered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from compared_in_memory import AGREEMENT, ERRORS, GOLDEN, LATENCY, STEPS, Compared, with_canary

from tuneloop_operator.state.router_report import RouterReport

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MINUTE = 60.0


@pytest.fixture
def deployed() -> Compared:
    return Compared()


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_an_equal_model_passes_every_step_and_its_numbers_are_shown(deployed: Compared) -> None:
    async def story() -> None:
        gates = [ERRORS, LATENCY, AGREEMENT, GOLDEN]
        old, new = await with_canary(deployed, gates=gates)
        assert (deployed.rollout["step"], deployed.weights) == (1, {new: 10, old: 90})
        assert deployed.verdicts == {"errors": "NoData", "latency": "NoData", "agreement": "NoData", "golden": "Pass"}
        await deployed.serve(10_000)
        assert (deployed.rollout["step"], deployed.weights) == (2, {new: 50, old: 50})
        assert deployed.verdicts["errors"] == "NoData", "each step asks for its own evidence"
        await deployed.serve(10_000)
        assert (deployed.status["stable"]["revision"], deployed.rollout["phase"]) == (new, "Baking")
        assert "gateMemory" not in deployed.rollout
        assert "StepReached" in deployed.reasons()

    live(story)


def test_the_numbers_of_each_gate_stand_in_the_status_and_in_the_condition(deployed: Compared) -> None:
    async def story() -> None:
        await with_canary(deployed)
        await deployed.serve(2_500)
        assert deployed.rollout["requests"] == 250
        assert deployed.verdicts == {"errors": "Inconclusive"}
        assert "250 rows" in deployed.reason("errors") or "harm" in deployed.reason("errors")
        assert "500 requests for the next look" in deployed.reason("errors")
        assert "250 of 1000 requests" in deployed.message("Ready")
        assert "gate errors Inconclusive" in deployed.message("Ready")

    live(story)


WORSE = {
    "errors": (ERRORS, {"canary_failed": 60}),
    "agreement": (AGREEMENT, {"disagree": 200}),
    "slower": (LATENCY, {"slow": 900}),
}


@pytest.mark.parametrize("worse", WORSE)
def test_a_worse_model_is_brought_back_and_not_offered_again(deployed: Compared, worse: str) -> None:
    async def story() -> None:
        gate, bad = WORSE[worse]
        old, new = await with_canary(deployed, gates=[gate])
        await deployed.serve(10_000, **bad)
        assert (deployed.rollout["phase"], deployed.weights) == ("RolledBack", {old: 100})
        (rejected,) = deployed.rollout["rejected"]
        assert (rejected["revision"], rejected["reason"]) == (new, "GateFailed")
        assert rejected["message"].startswith(f"gate {gate['name']} Fail (canary")
        assert "harm" in rejected["message"]
        assert deployed.comparator_objects <= {("NetworkPolicy", "api-comparator")}
        await deployed.settle(later=10 * MINUTE)
        assert deployed.weights == {old: 100}
        await deployed.change(batching={"maxBatchSize": 2})
        assert deployed.rollout["phase"] == "Starting", "another revision is offered"

    live(story)


def test_latency_is_not_judged_where_clients_load_the_canary_alone(deployed: Compared) -> None:
    """Stable has nothing else to do then. An earlier step has compared the two at fair shares."""

    async def story() -> None:
        steps = [{"weight": weight, "minRequests": 1000} for weight in (50, 100)]
        _, new = await with_canary(deployed, gates=[ERRORS, LATENCY], steps=steps)
        await deployed.serve(10_000)
        assert (deployed.weights, deployed.verdicts) == ({new: 100}, {"errors": "NoData", "latency": "Pass"})
        await deployed.serve(10_000, slow=900)
        assert (deployed.status["stable"]["revision"], deployed.rollout["phase"]) == (new, "Baking")

    live(story)


def test_latency_is_judged_at_all_requests_where_no_earlier_step_could(deployed: Compared) -> None:
    async def story() -> None:
        old, _ = await with_canary(deployed, gates=[LATENCY], steps=[{"weight": 100, "minRequests": 1000}])
        await deployed.serve(10_000, slow=900)
        assert (deployed.rollout["phase"], deployed.weights) == ("RolledBack", {old: 100})

    live(story)


def test_a_model_that_gets_golden_rows_wrong_is_brought_back(deployed: Compared) -> None:
    async def story() -> None:
        deployed.wrong_golden_rows = 300
        old, _ = await with_canary(deployed, gates=[GOLDEN])
        assert (deployed.rollout["phase"], deployed.weights) == ("RolledBack", {old: 100})
        assert deployed.rollout["rejected"][0]["reason"] == "GateFailed"

    live(story)


def test_recreate_is_judged_by_the_golden_set_alone(deployed: Compared) -> None:
    async def story() -> None:
        deployed.wrong_golden_rows = 300
        old = await deployed.create(replicas=1, strategy="Recreate", gates=[GOLDEN])
        new = await deployed.offer()
        await deployed.ready(new, 1)
        assert (deployed.rollout["phase"], deployed.target) == ("RolledBack", old)

    live(story)


def test_without_counts_a_canary_waits_and_gives_up_only_by_its_limit(deployed: Compared) -> None:
    async def story() -> None:
        deployed.is_comparator_away = True
        old, new = await with_canary(deployed, gates=[ERRORS | {"noDataLimit": 3}])
        for _ in range(2):
            await deployed.serve(20_000, later=MINUTE)
            assert (deployed.rollout["phase"], deployed.weights) == ("Progressing", {new: 10, old: 90})
        await deployed.serve(20_000, later=MINUTE + 1)
        await deployed.settle(later=MINUTE)
        assert (deployed.rollout["phase"], deployed.weights) == ("Held", {old: 100})
        assert "gate errors NoData (had no data 3 times in a row" in deployed.rollout["message"]
        assert "rejected" not in deployed.rollout
        assert deployed.condition("Stalled") == ("True", "Held")

    live(story)


def test_time_alone_counts_where_nobody_reports_anything(deployed: Compared) -> None:
    async def story() -> None:
        deployed.is_comparator_away = True
        old, _ = await with_canary(deployed, gates=[ERRORS | {"noDataLimit": 1}])
        for _ in range(7):
            await deployed.harness.settle(later=10.0)
        assert (deployed.rollout["phase"], deployed.weights) == ("Held", {old: 100})

    live(story)


def test_requests_of_an_earlier_split_do_not_count(deployed: Compared) -> None:
    async def story() -> None:
        _, new = await with_canary(deployed)
        generation = deployed.rollout["split"]["generation"]
        gone = RouterReport(router="api-router-gone", in_force=generation - 1, requests=((new, 5_000),))
        deployed.harness.operator.router_report("team-a", "api", gone)
        await deployed.serve(2_500)
        assert deployed.rollout["requests"] == 250

    live(story)


def test_recreate_waits_for_no_gate_that_can_see_nothing(deployed: Compared) -> None:
    """Another strategy in the middle waits for the next roll-out; its gates are read at once."""

    async def story() -> None:
        deployed.is_comparator_away = True
        await deployed.create(replicas=1, strategy="Recreate", gates=[GOLDEN])
        new = await deployed.offer()
        await deployed.ready(new, 1)
        await deployed.change(rollout={"strategy": "Canary", "gates": [GOLDEN, ERRORS]})
        assert list(deployed.verdicts) == ["golden"]
        deployed.is_comparator_away = False
        await deployed.settle()
        assert deployed.status["stable"]["revision"] == new

    live(story)


def test_a_canary_that_is_offered_again_begins_with_new_evidence(deployed: Compared) -> None:
    async def story() -> None:
        old, new = await with_canary(deployed, gates=[ERRORS | {"inconclusiveLimit": 3}])
        for _ in range(3):
            await deployed.serve(10_000, canary_failed=10)
        assert (deployed.rollout["phase"], deployed.weights) == ("Held", {old: 100}), deployed.rollout
        await deployed.command("retry/1")
        assert (deployed.rollout["phase"], deployed.weights) == ("Progressing", {new: 10, old: 90})
        (memory,) = deployed.rollout["gateMemory"]
        assert "look" not in memory
        assert "results" not in memory
        await deployed.serve(10_000)
        assert deployed.rollout["step"] == 2, deployed.rollout

    live(story)


def test_a_comparator_that_is_replaced_in_the_middle_counts_anew_and_no_look_is_given_back(deployed: Compared) -> None:
    async def story() -> None:
        await with_canary(deployed)
        await deployed.serve(6_000)
        looks = deployed.rollout["gateMemory"][0]["look"]
        assert looks == 2
        await deployed.replace_comparator()
        await deployed.serve(6_000)
        memory = deployed.rollout["gateMemory"][0]
        assert (memory["look"], deployed.rollout["step"]) == (2, 1)
        assert "600 of 1000 requests for the next look" in deployed.reason("errors")
        await deployed.serve(4_000)
        assert deployed.rollout["step"] == 2

    live(story)


@pytest.mark.parametrize("writes", range(1, 14))
def test_whenever_the_operator_dies_the_canary_is_judged_as_if_nothing_had_happened(
    deployed: Compared, writes: int
) -> None:
    """The memory of the gates is in the status alone."""

    async def story() -> None:
        old, _ = await with_canary(deployed)
        deployed.harness.cluster.fail_write = writes
        await deployed.serve(10_000)
        await deployed.restart()
        assert deployed.rollout["step"] == 2
        await deployed.serve(10_000, canary_failed=100)
        await deployed.restart()
        assert (deployed.rollout["phase"], deployed.weights) == ("RolledBack", {old: 100})

    live(story)


def test_a_step_with_too_few_requests_waits(deployed: Compared) -> None:
    async def story() -> None:
        await with_canary(deployed, gates=[ERRORS], shadow={"percent": 100})
        await deployed.serve(5_000)
        assert deployed.verdicts == {"errors": "Pass"}
        assert (deployed.rollout["step"], deployed.rollout["requests"]) == (1, 500)
        assert deployed.rollout["message"] == "500 of 1000 requests"
        await deployed.serve(5_000)
        assert deployed.rollout["step"] == 2

    live(story)


def test_golden_requests_count_where_traffic_is_thin_and_the_spec_says_so(deployed: Compared) -> None:
    async def story() -> None:
        thin = {"gates": [GOLDEN], "onThinTraffic": "Replay", "steps": STEPS[:1]}
        _, new = await with_canary(deployed, **thin)
        assert deployed.status["stable"]["revision"] == new, "3,000 golden rows are more than 1,000 requests"

    live(story)


def test_a_gate_on_trial_only_informs(deployed: Compared) -> None:
    async def story() -> None:
        _, new = await with_canary(
            deployed, gates=[ERRORS | {"dryRun": True}], steps=[{"weight": 10, "minDuration": "10m"}, {"weight": 50}]
        )
        await deployed.serve(20_000, canary_failed=500)
        assert deployed.verdicts == {"errors": "Fail"}
        assert deployed.reason("errors").startswith("on trial: ")
        await deployed.settle(later=10 * MINUTE)
        assert deployed.status["stable"]["revision"] == new

    live(story)


def test_shadow_gives_no_request_before_enough_copies_are_compared(deployed: Compared) -> None:
    async def story() -> None:
        old, new = await with_canary(deployed, strategy="Shadow", steps=[{"weight": 50}], shadow={"percent": 20})
        assert deployed.weights == {old: 100}
        assert "copies of 20 %" in deployed.message("Ready")
        await deployed.serve(2_500)
        assert (deployed.weights, deployed.rollout["requests"]) == ({old: 100}, 500)
        await deployed.serve(2_500)
        assert deployed.weights == {new: 50, old: 50}

    live(story)
