"""A steady load of predictions on one address, which revision answered each, and with which class: `requests_of`.

with requests_of("10.96.0.7:80") as load:
    assert set(load.next(20)) == {"03ab11f0"}
assert not load.failures
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = "a good film"
_PAUSE_SECONDS = 0.05
_PATIENCE_SECONDS = 30.0
"""For one answer: the machine may be busy."""


class Answer(NamedTuple):
    """What a client got."""

    revision: str
    """Empty: no router names one."""
    label: str


@dataclass
class Load:
    """Two clients: one makes a connection for each request, the other keeps its connection for as long as it may."""

    address: str
    answers: list[str] = field(default_factory=list)
    """The revisions that answered the first client, in this order; empty: no router names one."""
    kept: int = 0
    """Answers that the second client got."""
    labels: list[str] = field(default_factory=list)
    """The classes that both clients got."""
    failures: list[str] = field(default_factory=list)
    """What went wrong, with the client and the time."""
    _ended: threading.Event = field(default_factory=threading.Event)

    def next(self, count: int, *, seconds: float = 120.0) -> list[str]:
        """Return the revisions that answer so many requests from now on."""
        first, deadline = len(self.answers), time.monotonic() + seconds
        while len(self.answers) < first + count:
            assert time.monotonic() < deadline, f"{len(self.answers) - first} of {count} answers in {seconds} s"
            assert not self.failures, self.failures
            time.sleep(0.05)
        return self.answers[first : first + count]

    def run(self, *, is_kept: bool) -> None:
        """Ask until the load ends."""
        connection = http.client.HTTPConnection(self.address, timeout=_PATIENCE_SECONDS)
        while not self._ended.wait(_PAUSE_SECONDS):
            try:
                revision, label = ask(connection)
            except (OSError, http.client.HTTPException) as error:
                when = time.strftime("%H:%M:%S", time.gmtime())
                self.failures.append(f"{when} {'kept' if is_kept else 'new'} connection: {error!r}")
                connection.close()
                continue
            self.labels.append(label)
            if is_kept:
                self.kept += 1
            else:
                self.answers.append(revision)
                connection.close()
        connection.close()

    def end(self) -> None:
        """Let both clients end after the request that they are at."""
        self._ended.set()


@contextmanager
def requests_of(address: str) -> Iterator[Load]:
    """Ask this address (HOST:PORT) about twenty times a second until the block ends."""
    load = Load(address)
    clients = [threading.Thread(target=load.run, kwargs={"is_kept": is_kept}, daemon=True) for is_kept in (False, True)]
    for client in clients:
        client.start()
    try:
        yield load
    finally:
        load.end()
        for client in clients:
            client.join(timeout=2 * _PATIENCE_SECONDS)


def ask(connection: http.client.HTTPConnection, **headers: str) -> Answer:
    """Ask for a prediction, with these headers more. Raises HTTPException with an answer that is no 200."""
    body = json.dumps({"inputs": TEXT})
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", "/", body, {"content-type": "application/json"} | more)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise http.client.HTTPException(f"{answer.status} {text[:200]!r}")
    revision = (answer.getheader("x-tuneloop-revision") or "").rpartition("-")[2]
    return Answer(revision, json.loads(text)[0]["label"])
