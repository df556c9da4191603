"""Each rule of the election at its border, and the whole Lease that is written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from elections import two

from tuneloop_operator.errors import ClusterUnavailable, Conflict
from tuneloop_operator.leader import lease as rules
from tuneloop_operator.leader.leader import Leader
from tuneloop_operator.leader.lease import LeaseSettings, LeaseView

SETTINGS = LeaseSettings(identity="me", lease_seconds=15.25, renew_seconds=10.0)
WALL = "2026-01-01T12:00:00.000000Z"
HELD = {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": WALL}


def lease(holder: str | None = "other", version: str = "1", **spec: Any) -> dict[str, Any]:
    return {"kind": "Lease", "metadata": {"name": "l", "resourceVersion": version}, "spec": {"holderIdentity": holder} | spec}  # fmt: skip


def test_a_new_lease_is_written_whole() -> None:
    assert rules.new_lease(namespace="ns", name="operator", wall=WALL, settings=SETTINGS) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "operator", "namespace": "ns", "labels": {"app.kubernetes.io/managed-by": "tuneloop"}},
        "spec": HELD | {"acquireTime": WALL, "leaseTransitions": 0},
    }


@pytest.mark.parametrize(("transitions", "after"), [(None, 1), (0, 1), ("4", 5)])
def test_a_lease_that_is_taken_counts_one_more_transition(transitions: Any, after: int) -> None:
    before = lease(leaseTransitions=transitions, acquireTime="then", strategy="kept")
    taken = rules.taken(before, wall=WALL, settings=SETTINGS)
    spec = HELD | {"acquireTime": WALL, "leaseTransitions": after, "strategy": "kept"}
    assert taken == before | {"spec": spec}
    assert rules.taken(lease(), wall=WALL, settings=SETTINGS)["spec"]["leaseTransitions"] == 1


def test_a_renewal_changes_the_time_alone_and_a_release_the_holder_alone() -> None:
    before = lease("me", acquireTime="then", leaseTransitions=4)
    assert rules.renewed(before, wall=WALL, settings=SETTINGS) == before | {"spec": before["spec"] | HELD}
    assert rules.emptied(before) == before | {"spec": before["spec"] | {"holderIdentity": ""}}
    bare = {"metadata": {}, "spec": None}
    assert rules.renewed(bare, wall=WALL, settings=SETTINGS)["spec"] == HELD


def test_the_api_knows_whole_seconds_from_one() -> None:
    quick = LeaseSettings(identity="me", lease_seconds=0.2, renew_seconds=0.1)
    assert rules.renewed(lease(), wall=WALL, settings=quick)["spec"]["leaseDurationSeconds"] == 1


@pytest.mark.parametrize(
    ("given", "holder"), [({}, ""), ({"spec": None}, ""), (lease(None), ""), (lease(""), ""), (lease("a"), "a")]
)
def test_the_holder_of_a_lease(given: dict[str, Any], holder: str) -> None:
    assert rules.holder_of(given) == holder


@pytest.mark.parametrize(
    ("view", "now", "action"),
    [
        (LeaseView(), 0.0, "read"),
        (LeaseView(lease=lease("me")), 0.0, "read"),
        (LeaseView(known=True), 0.0, "create"),
        (LeaseView(known=True, lease=lease("me")), 99.0, "renew"),
        (LeaseView(known=True, lease=lease("")), 0.0, "take"),
        (LeaseView(known=True, lease=lease(), observed_at=2.0), 17.0, "wait"),
        (LeaseView(known=True, lease=lease(), observed_at=2.0), 17.25, "take"),
        (LeaseView(known=True, lease=lease(leaseDurationSeconds=60), observed_at=2.0), 61.9, "wait"),
        (LeaseView(known=True, lease=lease(leaseDurationSeconds=60), observed_at=2.0), 62.0, "take"),
        (LeaseView(known=True, lease=lease(leaseDurationSeconds=3), observed_at=2.0), 17.0, "wait"),
        (LeaseView(known=True, lease=lease(leaseDurationSeconds=None), observed_at=2.0), 17.25, "take"),
    ],
)
def test_the_next_action(view: LeaseView, now: float, action: str) -> None:
    assert rules.next_action(view, now, settings=SETTINGS) == action


@pytest.mark.parametrize(
    ("renewed_at", "now", "leads"), [(None, 0.0, False), (5.0, 14.9, True), (5.0, 15.0, False), (5.0, 5.0, True)]
)
def test_who_leads_until_when(renewed_at: float | None, now: float, leads: bool) -> None:
    assert rules.leads(LeaseView(renewed_at=renewed_at), now, settings=SETTINGS) is leads


def test_what_is_known_after_a_read_and_after_a_write() -> None:
    held = LeaseView(lease=lease("me"), known=False, observed_at=3.0, renewed_at=4.0, has_led=True)
    view = rules.observed(held, lease("me"), at=9.0, settings=SETTINGS)
    assert view == LeaseView(lease=lease("me"), known=True, observed_at=3.0, renewed_at=4.0, has_led=True)
    newer = rules.observed(held, lease("me", "2"), at=9.0, settings=SETTINGS)
    assert (newer.observed_at, newer.renewed_at) == (9.0, 4.0)
    lost = rules.observed(held, lease("other", "2"), at=9.0, settings=SETTINGS)
    assert (lost.observed_at, lost.renewed_at, lost.has_led) == (9.0, None, True)
    gone = rules.observed(held, None, at=9.0, settings=SETTINGS)
    assert gone == LeaseView(lease=None, known=True, observed_at=9.0, renewed_at=4.0, has_led=True)
    first = rules.observed(LeaseView(), lease(), at=9.0, settings=SETTINGS)
    assert first == LeaseView(lease=lease(), known=True, observed_at=9.0)
    written = rules.written(LeaseView(), lease("me"), sent=7.0)
    assert written == LeaseView(lease=lease("me"), known=True, observed_at=7.0, renewed_at=7.0, has_led=True)
    assert rules.unsure(written) == LeaseView(lease=lease("me"), observed_at=7.0, renewed_at=7.0, has_led=True)
    assert rules.given_up(written) == LeaseView(lease=lease("me"), known=True, observed_at=7.0, has_led=True)


class Recorded:
    """A server of one Lease that notes what it was asked."""

    def __init__(self, stored: dict[str, Any] | None = None, *, conflicts: int = 0) -> None:
        self.stored, self.conflicts = stored, conflicts
        self.asked: list[tuple[Any, ...]] = []
        self.is_up = True

    async def get(self, *, kind: str, namespace: str, name: str) -> Any:
        self.asked.append(("get", kind, namespace, name))
        return self.stored

    async def create(self, manifest: dict[str, Any]) -> Any:
        self.asked.append(("create", manifest["metadata"]["namespace"], manifest["metadata"]["name"]))
        return self._stored(manifest)

    async def replace(self, manifest: dict[str, Any]) -> Any:
        self.asked.append(("replace", manifest["spec"]["holderIdentity"]))
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("changed")
        return self._stored(manifest)

    def _stored(self, manifest: dict[str, Any]) -> Any:
        if not self.is_up:
            raise ClusterUnavailable("down")
        version = str(len(self.asked))
        self.stored = manifest | {"metadata": manifest["metadata"] | {"resourceVersion": version}}
        return self.stored


def leader(leases: Recorded, **given: Any) -> Leader:
    usual: dict[str, Any] = {"namespace": "ns", "name": "operator", "identity": "me", "clock": lambda: 0.0}
    return Leader(leases=leases, **usual | given)  # type: ignore[arg-type]


READ = ("get", "Lease", "ns", "operator")


def test_the_requests_of_a_leader_and_its_release() -> None:
    async def story() -> list[tuple[Any, ...]]:
        leases = Recorded()
        first = leader(leases)
        await first._step()
        await first._step()
        await first.release()
        await first.release()
        return leases.asked

    created = ("create", "ns", "operator")
    assert asyncio.run(story()) == [READ, created, ("replace", "me"), ("replace", ""), READ]


@pytest.mark.parametrize(("conflicts", "tries"), [(0, 1), (1, 2), (2, 3), (3, 3)])
def test_a_release_is_tried_three_times_with_a_read_before_each_but_the_first(conflicts: int, tries: int) -> None:
    async def story() -> Recorded:
        leases = Recorded()
        first = leader(leases)
        await first._step()
        leases.asked.clear()
        leases.conflicts = conflicts
        await first.release()
        return leases

    leases = asyncio.run(story())
    assert leases.asked == [("replace", ""), *([READ, ("replace", "")] * (tries - 1))]
    assert leases.stored is not None
    assert leases.stored["spec"]["holderIdentity"] == ("me" if conflicts >= 3 else "")


def test_the_durations_of_a_leader_are_those_that_are_documented() -> None:
    now = [0.0]

    async def story() -> list[bool]:
        leases = Recorded()
        first = leader(leases, clock=lambda: now[0])
        await first._step()
        assert leases.stored is not None
        assert leases.stored["spec"]["leaseDurationSeconds"] == 15
        found = []
        for now[0] in (9.9, 10.0):
            found.append(first.leads())
        return found

    assert asyncio.run(story()) == [True, False]


@pytest.mark.parametrize(
    ("reported", "now", "pause"),
    [(False, 0.0, 2.0), (True, 0.0, 2.0), (True, 8.5, 1.5), (True, 9.999, 0.01), (True, 20.0, 0.01)],
)
def test_a_leader_wakes_up_in_time_to_report_its_end(reported: bool, now: float, pause: float) -> None:
    clock = [0.0]

    async def story() -> float:
        first = leader(Recorded(), clock=lambda: clock[0])
        if reported:
            await first._step()
            first._report()
        clock[0] = now
        return first._pause()

    assert asyncio.run(story()) == pytest.approx(pause)


def test_a_change_is_reported_once() -> None:
    reported: list[bool] = []

    async def story() -> None:
        first = leader(Recorded(), on_change=reported.append)
        first._report()
        await first._step()
        first._report()
        first._report()
        await first.release()

    asyncio.run(story())
    assert reported == [True, False]


def test_who_takes_over_is_named_where_the_lease_lies() -> None:
    _, world, first, second = two()
    first.step()
    second.step()
    assert (first.leader.leads(), second.leader.leads()) == (True, False)
    world[0] = 14.9
    second.step()
    assert not second.leader.leads()
