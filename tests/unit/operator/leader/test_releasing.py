"""A leader that ends releases the Lease."""

from __future__ import annotations

from elections import two


def test_a_released_lease_is_taken_at_the_next_read() -> None:
    server, true_time, first, second = two()
    first.step()
    second.step()
    first.release()
    assert (first.leader.leads(), server.holder) == (False, "")
    true_time[0] += 0.1
    second.step()
    assert second.leader.leads()


def test_a_release_after_a_lost_answer_still_empties_the_lease() -> None:
    server, _, first, _ = two()
    first.step()
    first.begin()
    first.arrive()
    first.lose()
    first.release()
    assert server.holder == ""


def test_who_does_not_lead_releases_nothing() -> None:
    server, _, first, second = two()
    first.step()
    second.step()
    second.release()
    assert server.holder == "first"
