"""Predictions asked of a deployment again and again, with the right label sent back for each of them: `labelled_traffic`.

with labelled_traffic("10.96.0.7:80", old) as traffic:
    traffic.turn(new)
    assert traffic.next(20) ...
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Rows = list[tuple[str, str]]
_PAUSE_SECONDS = 0.05
_PATIENCE_SECONDS = 30.0
"""For one answer: the machine may be busy."""


class LabelledAnswer(NamedTuple):
    """What became of one text."""

    revision: str
    """That answered, by the router; empty: no router names one."""
    is_right: bool
    feedback: int
    """Status of the answer to its label."""


@dataclass
class LabelledTraffic:
    """One client. Each of its requests has a connection of its own, so that routers divide them."""

    address: str
    answers: list[LabelledAnswer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _rows: Iterator[tuple[str, str]] = field(default_factory=lambda: iter(()))
    _ended: threading.Event = field(default_factory=threading.Event)

    def turn(self, rows: Rows) -> None:
        """Send these texts from now on, in their order, over and over."""
        self._rows = cycle(rows)

    def next(self, count: int, *, seconds: float = 120.0) -> Sequence[LabelledAnswer]:
        """Return what becomes of so many texts from now on."""
        first, deadline = len(self.answers), time.monotonic() + seconds
        while len(self.answers) < first + count:
            assert time.monotonic() < deadline, f"{len(self.answers) - first} of {count} answers in {seconds} s"
            assert not self.failures, self.failures
            time.sleep(0.05)
        return self.answers[first : first + count]

    def run(self) -> None:
        """Ask until the traffic ends."""
        while not self._ended.wait(_PAUSE_SECONDS):
            text, label = next(self._rows)
            try:
                self.answers.append(_ask(self.address, text, label))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {error!r}")

    def end(self) -> None:
        """Let the client end after the request that it is at."""
        self._ended.set()


@contextmanager
def labelled_traffic(address: str, rows: Rows) -> Iterator[LabelledTraffic]:
    """Ask this address (HOST:PORT) until the block ends."""
    traffic = LabelledTraffic(address)
    traffic.turn(rows)
    client = threading.Thread(target=traffic.run, daemon=True)
    client.start()
    try:
        yield traffic
    finally:
        traffic.end()
        client.join(timeout=2 * _PATIENCE_SECONDS)


def _ask(address: str, text: str, right: str) -> LabelledAnswer:
    """Ask for a prediction and send the label. Raises HTTPException where there is no prediction."""
    answer, body = _post(address, "/", {"inputs": text})
    if answer.status != 200:
        raise http.client.HTTPException(f"{answer.status} {body[:200]!r}")
    row = {"token": answer.getheader("x-tuneloop-feedback"), "label": right, "input": text}
    revision = (answer.getheader("x-tuneloop-revision") or "").rpartition("-")[2]
    counted, _ = _post(address, "/v1/feedback", row)
    return LabelledAnswer(revision, json.loads(body)[0]["label"] == right, counted.status)


def _post(address: str, path: str, body: dict[str, str | None]) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(address, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()
