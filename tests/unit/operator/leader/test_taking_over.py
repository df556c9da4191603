"""Who may take the Lease, and when; and who must end because another one did."""

from __future__ import annotations

from elections import LEASE_SECONDS, Operator, two


def test_the_first_one_leads_and_the_second_waits() -> None:
    server, _, first, second = two()
    first.step()
    second.step()
    assert (first.leader.leads(), second.leader.leads(), server.holder) == (True, False, "first")


def test_the_time_that_stands_in_the_lease_says_nothing() -> None:
    server, true_time, first, second = two()
    first.step()
    assert server.lease is not None
    server.lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    second.step()
    true_time[0] = LEASE_SECONDS - 0.1
    second.step()
    assert not second.leader.leads()


def test_a_lease_that_asks_for_longer_is_given_longer() -> None:
    server, true_time, first, second = two()
    first.step()
    assert server.lease is not None
    server.lease["spec"]["leaseDurationSeconds"] = 60
    second.step()
    true_time[0] = 59.0
    second.step()
    assert not second.leader.leads()
    true_time[0] = 60.0
    second.step()
    assert second.leader.leads()


def test_of_two_that_take_an_old_lease_only_the_faster_one_leads() -> None:
    server, true_time, first, second = two()
    Operator(server, "third", true_time).step()
    for operator in (first, second):
        operator.step()
    true_time[0] = LEASE_SECONDS
    for operator in (first, second):
        operator.begin()
        operator.answer()  # the read
    for operator in (first, second):
        operator.answer()
    assert [operator.leader.leads() for operator in (first, second)] == [True, False]
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 1


def test_a_leader_that_observes_another_holder_ends() -> None:
    _, true_time, first, second = two()
    first.step()
    second.step()
    true_time[0] = LEASE_SECONDS
    second.step()
    first.step()  # the renewal is turned down
    first.step()
    assert first.gone


def test_an_operator_that_never_led_goes_on_waiting_for_another_holder() -> None:
    _, _, first, second = two()
    first.step()
    second.step()
    assert not second.gone
