"""Rows of feedback that real servers write: killed, side by side, on a disk that takes nothing."""

from __future__ import annotations

import json
import signal
import threading
import time

import httpx
import pytest
from feedback_in_memory import rows_in
from server_process import configuration, running_fork

HEADER = "x-tuneloop-feedback"
TEXT = "a good film"
DEADLINE = 30.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    path = tmp_path_factory.mktemp("secret") / "keys"
    path.write_text("k" * 32)
    return path


def config_of(artifact, keys, folder, **store):
    feedback = {"keys_path": str(keys), "store": {"folder": str(folder)} | store}
    return configuration(artifact.folder, revision="03ab11f0", feedback=feedback)


def label(server, text: str = TEXT, **more: object):
    token = server.ask({"inputs": text}).headers[HEADER]
    return server.client.post("/v1/feedback", json={"token": token, "label": "negative", "input": text} | more)


def wait_for(found) -> None:
    end = time.monotonic() + DEADLINE
    while not found():
        assert time.monotonic() < end, "the rows were not written in time"
        time.sleep(0.02)


def test_two_servers_write_to_one_folder_and_what_is_stopped_has_written_all(artifact, keys, tmp_path):
    folder = tmp_path / "rows"
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with (
        running_fork(config_of(artifact, keys, folder), tmp_path / "one") as one,
        running_fork(config_of(artifact, keys, folder), tmp_path / "other") as other,
    ):
        for number in range(10):
            assert label((one, other)[number % 2], f"film {number}").json() == {"counted": 1, "repeated": 0}
        assert (one.stop(), other.stop()) == (0, 0)
    assert sorted(row.text for row in rows_in(folder)) == sorted(f"film {number}" for number in range(10))
    assert len([*folder.iterdir()]) == 2


def test_a_killed_server_leaves_whole_lines_and_all_that_was_answered_a_second_before(artifact, keys, tmp_path):
    folder = tmp_path / "rows"
    with running_fork(config_of(artifact, keys, folder, redact=False), tmp_path) as server:
        answered: list[tuple[float, str]] = []

        def send() -> None:
            number = 0
            while True:
                text = f"film {number} " + "x" * 200
                try:
                    label(server, text)
                except httpx.TransportError:
                    return
                answered.append((time.monotonic(), text))
                number += 1

        sender = threading.Thread(target=send)
        sender.start()
        wait_for(lambda: answered and time.monotonic() - answered[0][0] > 2.5)
        killed = time.monotonic()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(timeout=DEADLINE)
        sender.join()
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert written.endswith(b"\n")
    texts = {json.loads(line)["text"] for line in written.splitlines()}
    due = [text for at, text in answered if at < killed - 1.5]
    assert len(due) > 5
    assert not set(due) - texts


def test_on_a_claim_that_takes_nothing_predictions_and_feedback_are_answered_and_counted(artifact, keys, tmp_path):
    blocked = tmp_path / "claim"
    blocked.write_text("no folder")
    with running_fork(config_of(artifact, keys, blocked / "rows"), tmp_path) as server:
        assert label(server).json() == {"counted": 1, "repeated": 0}
        wait_for(lambda: server.metrics()[("tuneloop_feedback_write_failures_total",)] > 0)
        assert server.client.get("/readyz").status_code == 200
        assert label(server).json() == {"counted": 1, "repeated": 0}
        assert server.stop() == 0
        log = server.log.read_text()
    assert log.count("cannot be written") == 1
    assert "2 rows of feedback are lost with this process" in log
    assert TEXT not in log


def test_a_poisoned_text_and_a_damaged_body_are_refused_with_a_sentence_and_nothing_is_kept(artifact, keys, tmp_path):
    folder = tmp_path / "rows"
    with running_fork(config_of(artifact, keys, folder), tmp_path) as server:
        poisoned = label(server, TEXT, input="quite another text")
        wrong = [
            server.client.post("/v1/feedback", content=body)
            for body in (b'{"token": "\xff"}', b'{"token": "x", "input": 7, "label": 0}', b"[" * 100_000)
        ]
        too_large = server.client.post("/v1/feedback", content=b" " * (100 * 1024 * 1024))
        assert label(server).status_code == 200
        assert server.stop() == 0
    assert (poisoned.status_code, poisoned.json()["error"][:46]) == (
        400,
        "input: is not the text that this token was giv",
    )
    assert [answer.status_code for answer in wrong] == [400] * 3
    assert too_large.status_code == 413
    assert [row.text for row in rows_in(folder)] == [TEXT]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
