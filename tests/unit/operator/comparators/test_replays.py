"""When a comparator is asked for another replay: as long as a roll-out wants one, and again, later and later, after one that ended early."""

from __future__ import annotations

from comparator_counts import counts

from tuneloop_api.contract.comparison import ComparisonCounts, GoldenCounts
from tuneloop_operator.comparators.replays import Replays

KEY = ("team-a", "reviews")
ENDED = "the canary was away for 20 rows"


def golden(
    wanted: int, completed: int, *, failure: str | None = None, started_at: str = "2026-11-29T10:00:00Z"
) -> ComparisonCounts:
    return counts(
        golden=GoldenCounts(rows=9, wanted=wanted, completed=completed, failure=failure), started_at=started_at
    )


def asked_for(found: ComparisonCounts, *, asks: bool = True) -> int | None:
    return Replays().wanted(KEY, found, asks=asks, now=0)


def test_a_roll_out_that_wants_golden_requests_gets_one_replay_after_another() -> None:
    assert [asked_for(golden(done, done)) for done in (0, 1, 2)] == [1, 2, 3]


def test_nobody_asks_while_a_replay_is_under_way() -> None:
    assert asked_for(golden(2, 1)) is None


def test_a_roll_out_that_wants_none_gets_none() -> None:
    assert asked_for(golden(1, 1), asks=False) is None


def test_without_a_golden_set_that_can_be_used_nobody_asks() -> None:
    assert asked_for(counts()) is None
    assert asked_for(counts(golden=GoldenCounts(problem="no row can be used"))) is None


def test_a_comparator_is_asked_for_no_more_than_it_takes() -> None:
    assert asked_for(golden(99, 99)) == 100
    assert asked_for(golden(100, 100)) is None


def times_of(replays: Replays, found: ComparisonCounts, *, seconds: int) -> list[int]:
    """Return when a comparator is asked that is looked at every second, and whose replay ends early at once."""
    return [now for now in range(seconds) if replays.wanted(KEY, found, asks=False, now=now) is not None]


def test_after_a_replay_that_ended_early_the_waits_double_up_to_five_minutes() -> None:
    asked = times_of(Replays(), golden(0, 0, failure=ENDED), seconds=2000)
    assert [later - earlier for earlier, later in zip([0, *asked], asked, strict=False)] == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]  # fmt: skip


def test_a_complete_replay_or_another_process_ends_the_waits() -> None:
    replays = Replays()
    times_of(replays, golden(0, 0, failure=ENDED), seconds=400)
    assert times_of(replays, golden(1, 1, failure=ENDED), seconds=12) == [5]
    assert times_of(replays, golden(1, 1, failure=ENDED, started_at="2026-11-29T11:00:00Z"), seconds=12) == [5]


def test_a_comparator_that_is_gone_leaves_nothing() -> None:
    replays = Replays()
    times_of(replays, golden(0, 0, failure=ENDED), seconds=400)
    replays.keep([])
    assert times_of(replays, golden(0, 0, failure=ENDED), seconds=12) == [5]
