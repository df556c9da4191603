"""How long an operator leads: until its renewals end, whatever happens to their answers."""

from __future__ import annotations

from elections import LEASE_SECONDS, RENEW_SECONDS, Operator, two


def test_a_leader_that_cannot_renew_stops_writing_before_another_one_may() -> None:
    _, true_time, first, second = two()
    first.step()
    second.step()
    true_time[0] = RENEW_SECONDS - 0.1
    assert first.leader.leads()
    true_time[0] = RENEW_SECONDS
    assert not first.leader.leads()
    second.step()
    assert not second.leader.leads()
    true_time[0] = LEASE_SECONDS
    second.step()
    assert second.leader.leads()


def test_renewals_keep_the_other_one_away() -> None:
    _, true_time, first, second = two()
    for _ in range(60):
        true_time[0] += 2.0
        first.step()
        second.step()
    assert (first.leader.leads(), second.leader.leads()) == (True, False)


def test_after_an_outage_the_leader_goes_on_if_nobody_took_over() -> None:
    _, true_time, first, _ = two()
    first.step()
    first.begin()
    first.lose()
    true_time[0] = 300.0
    assert not first.leader.leads()
    first.step()
    assert first.leader.leads()


def test_a_renewal_whose_answer_was_lost_is_renewed_again() -> None:
    _, true_time, first, _ = two()
    first.step()
    first.begin()
    first.arrive()
    first.lose()
    true_time[0] = 9.0
    first.step()
    true_time[0] = 12.0
    assert first.leader.leads()


def test_a_late_answer_counts_from_its_request() -> None:
    _, true_time, first, _ = two()
    first.begin()
    first.answer()  # the read
    first.arrive()
    true_time[0] = 8.0
    first.answer()
    assert first.leader.leads()
    true_time[0] = RENEW_SECONDS
    assert not first.leader.leads()


def test_a_process_that_starts_again_in_its_pod_leads_at_once() -> None:
    server, true_time, first, _ = two()
    first.step()
    again = Operator(server, "first", true_time, offset=7.0)
    again.step()
    assert again.leader.leads()
