"""A steady load in a process of its own, so that its memory is nobody else's: each request is sent at its time, however long others take.

    python bench/soak_load.py URL REQUESTS_PER_SECOND USERS

Prints its counts so far as a line of JSON each second, and a last time when its standard input is closed. Ends when all requests have come back.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

TEXTS = ("a good film", "a bad film", "the best story", "dull and boring", "a warm and funny tale", "no joy in it")
STICKY_HEADER = "x-user"
EDGES = [0.0005 * 1.05**step for step in range(260)]
"""Upper edges of the bins of seconds; 5 % wide, up to 2.7 minutes."""
_PATIENCE_SECONDS = 60.0


@dataclass
class Counts:
    """What became of the requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """By status, or by the name of the client's error."""
    bins: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))
    """Answered requests by their time."""
    revision_of: dict[str, str] = field(default_factory=dict)
    """Which revision answered a user last."""
    moves: int = 0
    """How often a user was answered by another revision than before."""

    def add(self, outcome: str, *, seconds: float) -> None:
        """Count one request."""
        self.outcomes[outcome] += 1
        if outcome == "200":
            self.bins[bisect_left(EDGES, seconds)] += 1

    def document(self) -> dict[str, object]:
        """Return what is printed."""
        return {
            "requests": self.outcomes.total(),
            "lost": self.outcomes.total() - self.outcomes["200"],
            "outcomes": dict(self.outcomes),
            "p50": quantile(self.bins, 0.5),
            "p99": quantile(self.bins, 0.99),
            "moves": self.moves,
        }


def quantile(bins: list[int], share: float) -> float:
    """Return the upper edge, in seconds, of the bin up to which at least this share of the requests is; 0 without requests."""
    wanted, count = share * sum(bins), 0
    for edge, found in zip(EDGES, bins, strict=False):
        count += found
        if count >= wanted:
            return edge if sum(bins) else 0.0
    return EDGES[-1]


async def load(url: str, *, per_second: float, users: int) -> None:
    """Send requests until standard input is closed."""
    counts, stop = Counts(), asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http, asyncio.TaskGroup() as requests:
        began, number, printed = time.monotonic(), 0, 0.0
        while not stop.is_set():
            requests.create_task(
                _ask(http, url, counts, user=f"user-{number % users}", text=TEXTS[number % len(TEXTS)])
            )
            number += 1
            if (now := time.monotonic()) - printed >= 1:
                printed = now
                print(json.dumps(counts.document()), flush=True)
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
    print(json.dumps(counts.document()), flush=True)


async def _ask(http: aiohttp.ClientSession, url: str, counts: Counts, *, user: str, text: str) -> None:
    began, revision = time.monotonic(), ""
    try:
        async with http.post(url, json={"inputs": text}, headers={STICKY_HEADER: user}) as answer:
            await answer.read()
            outcome, revision = str(answer.status), answer.headers.get("x-tuneloop-revision", "")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        outcome = type(error).__name__
    counts.add(outcome, seconds=time.monotonic() - began)
    if revision and counts.revision_of.setdefault(user, revision) != revision:
        counts.moves += 1
        counts.revision_of[user] = revision


if __name__ == "__main__":
    asyncio.run(load(sys.argv[1], per_second=float(sys.argv[2]), users=int(sys.argv[3])))
