"""A client that asks again and again beside an attack, and the memory of the program that is attacked."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raw_http import resident_mib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PAUSE_SECONDS = 0.02
_LONGEST_SECONDS = 60.0


@dataclass
class Beside:
    """What was seen beside an attack."""

    before_mib: float
    most_mib: float
    """Memory of the program, at most."""
    statuses: Counter[int | str] = field(default_factory=Counter)
    """What the good client got: statuses, or names of errors."""
    retry_after: Counter[str | None] = field(default_factory=Counter)
    """Of answers that are not 200."""

    @property
    def taken_mib(self) -> float:
        return self.most_mib - self.before_mib


@contextlib.contextmanager
def good_client_beside(port: int, pid: int, *, headers: Mapping[str, str] | None = None) -> Iterator[Beside]:
    """Ask for a prediction on a new connection each time, and look at the memory of a process, until the block ends."""
    before = resident_mib(pid)
    found, stop = Beside(before, before), threading.Event()

    def ask() -> None:
        while not stop.wait(_PAUSE_SECONDS):
            found.most_mib = max(found.most_mib, resident_mib(pid))
            status, retry_after = _predict(port, headers or {})
            found.statuses[status] += 1
            if status != 200:
                found.retry_after[retry_after] += 1
            found.most_mib = max(found.most_mib, resident_mib(pid))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield found
    finally:
        stop.set()
        asking.join()


def _predict(port: int, headers: Mapping[str, str]) -> tuple[int | str, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LONGEST_SECONDS)
    try:
        connection.request(
            "POST",
            "/predict",
            body=b'{"inputs": "a good film"}',
            headers={"content-type": "application/json", **headers},
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("retry-after")
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, None
    finally:
        connection.close()
