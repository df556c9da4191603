"""When a release acts in a namespace, when it asks the API server, and when it takes a Lease over from another release."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop_operator.leader import claim as rules
from tuneloop_operator.leader import lease as leases
from tuneloop_operator.leader.claim import LARGEST_SKEW, Claim
from tuneloop_operator.names import NAMESPACE_LEASE

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SETTINGS = rules.lease_settings("home/ours", lease_seconds=900.0)
LEASE = timedelta(seconds=900)


def lease_of(holder: str, *, renewed: datetime = NOON, version: str = "1", **spec: Any) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 900, "renewTime": renewed.isoformat()} | spec
    return {"metadata": {"namespace": "team-a", "name": NAMESPACE_LEASE, "resourceVersion": version}, "spec": spec}


def claimed(*, at: float) -> Claim:
    view = leases.written(leases.LeaseView(), lease_of("home/ours"), sent=at)
    return Claim(view=view, asked_at=at)


def read(lease: dict[str, Any] | None, *, at: float = 0.0, wall: datetime = NOON) -> Claim:
    return rules.observed(Claim(), lease, at=at, wall=wall, settings=SETTINGS)


def action(claim: Claim, now: float) -> str:
    return leases.next_action(claim.view, now, settings=SETTINGS)


@pytest.mark.parametrize(("now", "acts"), [(0.0, True), (599.9, True), (600.1, False)])
def test_a_holder_acts_for_two_thirds_of_its_lease(now: float, acts: bool) -> None:
    assert rules.may_act(claimed(at=0.0), now, settings=SETTINGS) is acts


def test_a_holder_renews_every_third_of_its_lease_and_not_all_namespaces_at_once() -> None:
    def due(namespace: str) -> float:
        return next(
            float(now)
            for now in range(900)
            if rules.is_due(claimed(at=0.0), float(now), settings=SETTINGS, namespace=namespace)
        )

    times = [due(f"team-{number}") for number in range(100)]
    assert 210 <= min(times) < 220
    assert 290 < max(times) <= 300
    assert len(set(times)) > 50


@pytest.mark.parametrize(
    ("lease", "now", "what"),
    [
        pytest.param(None, 0.0, "create", id="nobody was here"),
        pytest.param(lease_of(""), 0.0, "take", id="it was given back"),
        pytest.param(lease_of("home/ours"), 0.0, "renew", id="a replica of ours was here"),
        pytest.param(lease_of("else/theirs"), 899.0, "wait", id="another release is here"),
        pytest.param(lease_of("else/theirs"), 900.0, "take", id="another release was here"),
        pytest.param(lease_of("else/theirs", leaseDurationSeconds=3600), 3599.0, "wait", id="theirs is longer"),
        pytest.param(lease_of("else/theirs", renewed=NOON - LEASE), 0.0, "wait", id="their clock may be wrong"),
        pytest.param(lease_of("else/theirs", renewed=NOON - LEASE - LARGEST_SKEW), 0.0, "wait", id="just not long ago"),
        pytest.param(
            lease_of("else/theirs", renewed=NOON - LEASE - LARGEST_SKEW - timedelta(seconds=1)),
            0.0,
            "take",
            id="it ended long ago",
        ),
        pytest.param(lease_of("else/theirs", renewTime=None), 0.0, "wait", id="no time is written"),
        pytest.param(lease_of("else/theirs", renewTime="yesterday"), 0.0, "wait", id="no time can be read"),
    ],
)
def test_what_comes_next_after_a_read(lease: dict[str, Any] | None, now: float, what: str) -> None:
    assert action(read(lease), now) == what


def test_others_look_at_a_lease_once_a_minute() -> None:
    claim = read(lease_of("else/theirs"), at=100.0)
    due = [now for now in range(100, 300) if rules.is_due(claim, float(now), settings=SETTINGS, namespace="team-a")]
    assert due[0] == 160


def test_the_holder_that_is_named_is_another_release() -> None:
    assert rules.foreign_holder(read(lease_of("else/theirs")), settings=SETTINGS) == "else/theirs"
    assert rules.foreign_holder(read(lease_of("home/ours")), settings=SETTINGS) == ""
    assert rules.foreign_holder(Claim(), settings=SETTINGS) == ""
