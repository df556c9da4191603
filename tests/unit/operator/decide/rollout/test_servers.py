"""How many servers each revision is to have, and which revisions are deleted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rollouts import NOW, a_spec, after, baking, facts_for, following, in_step, serving

from tuneloop_operator.decide.model_deployment.rollout.capacity import revisions_to_delete, servers
from tuneloop_operator.decide.model_deployment.rollout.facts import Autoscaling, Capacity, Facts, StepSpec
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Rollout, Router, Split

REPLACE = a_spec(capacity=Capacity.REPLACE)


def counted(rollout: Rollout, facts: Facts) -> dict[str, int | None]:
    """Return the servers that are wanted."""
    return dict(servers(rollout, facts, now=NOW).counts)


@pytest.mark.parametrize(("step", "canary"), [(0, 1), (1, 1), (2, 2), (3, 4)])
def test_a_canary_has_the_servers_of_its_weight_beside_all_of_stable(step: int, canary: int) -> None:
    rollout = in_step(step)
    assert counted(rollout, facts_for(rollout)) == {"r1": 4, "r2": canary}


def test_the_servers_of_the_next_step_are_wanted_before_its_weight() -> None:
    rollout = in_step(1, step=2)
    assert counted(rollout, facts_for(rollout))["r2"] == 2


def test_a_canary_keeps_its_servers_until_no_router_sends_it_anything() -> None:
    gone = Split(generation=12, weights=(("r1", 100),))
    rollout = in_step(2, phase=Phase.ROLLING_BACK, split=gone, earlier=(in_step(2).split,))
    late = facts_for(rollout, counts=(("r1", 4), ("r2", 2)), routers=(Router(name="a", generation=12),))
    rollout = in_step(2, phase=Phase.ROLLING_BACK, split=Split(generation=13, weights=gone.weights), earlier=(gone,))
    assert counted(rollout, late)["r2"] == 0
    rollout = in_step(2, phase=Phase.ROLLING_BACK, split=Split(generation=13, weights=gone.weights))
    rollout = after(rollout, late)
    assert counted(rollout, late)["r2"] == 2, "the router follows a split that is not remembered"


def test_stable_keeps_all_servers_until_the_other_carries_everything_in_force() -> None:
    rollout = in_step(3, phase=Phase.PROMOTING)
    late = facts_for(rollout, routers=(Router(name="a", generation=12),))
    assert counted(rollout, late)["r1"] == 4
    promoted = after(rollout, following(rollout, late))
    assert counted(promoted, following(promoted, late)) == {"r1": 0, "r2": 4}


def test_the_old_revision_keeps_what_the_spec_says_during_the_window() -> None:
    rollout = baking()
    assert counted(rollout, facts_for(rollout, spec=a_spec(keep_replicas=1))) == {"r1": 1, "r2": 4}
    late = servers(rollout, facts_for(rollout, spec=a_spec(keep_replicas=1)), now=NOW + timedelta(days=2))
    assert dict(late.counts) == {"r1": 0, "r2": 4}


def test_no_more_servers_of_the_old_revision_are_kept_than_carry_all_requests() -> None:
    rollout = baking()
    assert counted(rollout, facts_for(rollout, spec=a_spec(keep_replicas=9))) == {"r1": 4, "r2": 4}


def test_an_old_revision_on_its_way_back_has_all_its_servers() -> None:
    rollout = baking(phase=Phase.REVERTING, canary="r1", is_forced=True)
    assert counted(rollout, facts_for(rollout, counts=(("r2", 4),), ready=(("r2", 4),))) == {"r1": 4, "r2": 4}


@pytest.mark.parametrize(
    ("weight", "wanted"),
    [
        pytest.param(0, {"r1": 3, "r2": 1}, id="the first server takes the place of one"),
        pytest.param(25, {"r1": 2, "r2": 2}, id="the second follows when the first carries its share"),
        pytest.param(50, {"r1": 1, "r2": 3}, id="the last of stable stays"),
        pytest.param(75, {"r1": 1, "r2": 3}, id="while it gets requests"),
        pytest.param(100, {"r1": 1, "r2": 3}, id="and until the promotion counts"),
    ],
)
def test_servers_are_replaced_one_by_one(weight: int, wanted: dict[str, int]) -> None:
    weights = tuple((name, share) for name, share in (("r2", weight), ("r1", 100 - weight)) if share)
    rollout = in_step(3, phase=Phase.PROMOTING, split=Split(generation=13, weights=weights))
    assert counted(rollout, facts_for(rollout, spec=REPLACE)) == wanted


def test_requests_go_over_in_parts_as_servers_are_replaced() -> None:
    rollout, shares = serving(), []
    spec = a_spec(capacity=Capacity.REPLACE, steps=(StepSpec(weight=100),))
    facts = facts_for(rollout, spec=spec, counts=(("r1", 4),), ready=(("r1", 4),))
    for _ in range(12):
        rollout = after(rollout, facts)
        counts = tuple((name, count or 0) for name, count in servers(rollout, facts, now=NOW).counts)
        assert sum(count for _, count in counts) <= 4
        facts = following(rollout, facts, counts=counts, ready=counts)
        shares.append(rollout.split.weight_of("r2"))
    assert sorted(set(shares)) == [0, 25, 50, 100]
    assert rollout.stable == "r2"
    assert counted(rollout, facts) == {"r1": 0, "r2": 4}


def test_with_two_servers_in_place_of_each_other_one_carries_everything_until_the_promotion_counts() -> None:
    spec = a_spec(capacity=Capacity.REPLACE, steps=(StepSpec(weight=50), StepSpec(weight=100)), replicas=2)
    rollout, ways = serving(), []
    facts = facts_for(rollout, spec=spec, counts=(("r1", 2),), ready=(("r1", 2),))
    for _ in range(12):
        rollout = after(rollout, facts)
        counts = tuple((name, count or 0) for name, count in servers(rollout, facts, now=NOW).counts)
        facts = following(rollout, facts, counts=counts, ready=counts)
        ways.append((rollout.split.weight_of("r2"), dict(counts)["r1"], dict(counts)["r2"]))
    assert list(dict.fromkeys(ways)) == [(0, 1, 1), (50, 1, 1), (100, 1, 1), (100, 0, 2)]


def test_a_canary_that_goes_gives_its_room_back_once_no_router_sends_it_anything() -> None:
    half = Split(generation=12, weights=(("r2", 50), ("r1", 50)))
    spec, counts = a_spec(capacity=Capacity.REPLACE, replicas=2), (("r1", 1), ("r2", 1))
    back = in_step(2, phase=Phase.ROLLING_BACK, split=Split(generation=13, weights=(("r1", 100),)), earlier=(half,))
    late = facts_for(back, spec=spec, counts=counts, ready=counts, routers=(Router(name="a", generation=12),))
    assert counted(back, late) == {"r1": 1, "r2": 1}
    assert counted(back, following(back, late)) == {"r1": 2, "r2": 0}


def test_a_single_server_is_replaced_beside_itself() -> None:
    rollout = serving(canary="r2", phase=Phase.STARTING, started=NOW)
    spec = a_spec(capacity=Capacity.REPLACE, replicas=1)
    assert counted(rollout, facts_for(rollout, spec=spec, counts=(("r1", 1),))) == {"r1": 1, "r2": 1}


def test_an_autoscaler_owns_the_number_of_stable_alone() -> None:
    spec = a_spec(autoscaling=Autoscaling(minimum=2, maximum=10))
    rollout = in_step(2)
    facts = facts_for(rollout, spec=spec, counts=(("r1", 6), ("r2", 3)))
    wanted = servers(rollout, facts, now=NOW)
    assert (dict(wanted.counts), wanted.autoscaled, wanted.floor) == ({"r1": None, "r2": 3}, "r1", 6)


def test_an_autoscaler_is_handed_over_with_the_promotion() -> None:
    spec = a_spec(autoscaling=Autoscaling(minimum=2, maximum=10))
    rollout = baking()
    wanted = servers(rollout, facts_for(rollout, spec=spec, counts=(("r1", 6), ("r2", 6))), now=NOW)
    assert (dict(wanted.counts), wanted.autoscaled, wanted.floor) == ({"r1": 0, "r2": None}, "r2", 2)


def test_a_sleeping_deployment_has_no_servers() -> None:
    rollout = in_step(1)
    assert counted(rollout, facts_for(rollout, spec=a_spec(replicas=0))) == {"r1": 0, "r2": 0}


def test_revisions_beyond_the_limit_are_deleted_and_no_others() -> None:
    rollout = baking()
    facts = facts_for(
        rollout, spec=a_spec(history_limit=1), revisions=("r-3", "r-2", "r-1", "r1", "r2", "r3"), offered="r3"
    )
    assert revisions_to_delete(rollout, facts, now=NOW) == ("r-3", "r-2")
    later = facts_for(rollout, spec=a_spec(history_limit=0), revisions=("r1", "r2"))
    assert revisions_to_delete(rollout, later, now=NOW) == ()
    assert revisions_to_delete(rollout, later, now=NOW + timedelta(days=2)) == ("r1",)


def test_a_revision_that_a_late_router_may_use_is_not_deleted() -> None:
    rollout = serving()
    facts = facts_for(
        rollout,
        spec=a_spec(history_limit=0),
        offered="r1",
        revisions=("r-1", "r1"),
        routers=(Router(name="a", generation=0),),
    )
    assert revisions_to_delete(rollout, facts, now=NOW) == ()
    assert revisions_to_delete(rollout, following(rollout, facts), now=NOW) == ("r-1",)
