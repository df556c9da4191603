"""Labels by the client that sent them: whose are wrong most often, and no name that leaves the process."""

from __future__ import annotations

from pathlib import Path

import pytest
from feedback_in_memory import FeedbackServer

from tuneloop_server.feedback.clients import MOST_CLIENTS, Clients

LABELS, CORRECT = "tuneloop_feedback_worst_client_labels", "tuneloop_feedback_worst_client_correct"


@pytest.mark.parametrize(
    ("labels", "worst"),
    [
        ({}, (0, 0)),
        ({"": [False] * 9}, (0, 0)),
        ({"a": [True] * 9}, (9, 9)),
        ({"a": [True] * 90 + [False] * 2, "b": [False] * 3}, (3, 0)),
        ({"a": [False] * 4 + [True] * 6, "b": [False] * 3}, (10, 6)),
    ],
)
def test_the_worst_client_is_that_with_the_most_wrong_labels(
    labels: dict[str, list[bool]], worst: tuple[int, int]
) -> None:
    clients = Clients()
    for client, rights in labels.items():
        for is_correct in rights:
            clients.labelled(client, score=is_correct)
    assert clients.worst == worst


def test_many_names_drive_out_no_client_with_wrong_labels() -> None:
    clients = Clients()
    for _ in range(5):
        clients.labelled("poison", score=False)
    for number in range(10 * MOST_CLIENTS):
        clients.labelled(f"client {number}", score=number % 2 == 0)
    assert clients.worst == (5, 0)


def test_the_worst_client_is_shown_by_day_and_without_its_name(tmp_path: Path) -> None:
    server = FeedbackServer(tmp_path)
    for _ in range(3):
        server.take(server.predict(), "positive", client="honest")
        server.take(server.predict(), "negative", client="poison")
    server.take(server.predict(), "negative")
    assert (server.count(LABELS), server.count(CORRECT)) == (3, 0)
    assert (server.count(LABELS, day="2026-11-29"), "poison" in server.metrics) == (0, False)


def test_a_label_that_is_sent_again_counts_for_its_client_once(tmp_path: Path) -> None:
    server = FeedbackServer(tmp_path)
    token = server.predict()
    for _ in range(2):
        server.take(token, "negative", client="poison")
    assert server.count(LABELS) == 1
