"""Replays the golden set: each row is asked of both revisions once a replay.

How many replays there are to be is a number since the process started, not an order: to ask again for the same number changes nothing. So an operator
that restarts asks again, and no row is counted twice. Only a replay that ended early is begun again by asking.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from functools import partial
from typing import TYPE_CHECKING

from tuneloop_api.contract.comparison import GoldenCounts
from tuneloop_server.comparator.golden_rows import GoldenRow, GoldenSetRefused, named
from tuneloop_server.comparator.labelled import LabelledTally
from tuneloop_server.comparator.replies import Failure
from tuneloop_server.comparator.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneloop_server.comparator.golden_rows import BadRow, GoldenCheck, GoldenFile
    from tuneloop_server.comparator.latency import WarmUp
    from tuneloop_server.comparator.pairs import Pairs
    from tuneloop_server.comparator.rate import Rate
    from tuneloop_server.comparator.slots import Slots
    from tuneloop_server.comparator.verdicts import Comparison

MOST_TIMES = 100
_ROWS_AHEAD = 32
"""Rows that are read at once, beside the event loop."""
_TRIES = 3
_PAUSE_SECONDS = 1.0
"""Before a row is tried again. A pod that is replaced, or a full queue, says nothing about the model."""
_TRANSIENT = {Failure.OVERLOADED, Failure.CONNECTION, Failure.AWAY}
_AWAY = {*_TRANSIENT, Failure.TIMEOUT}
MOST_AWAY = 20
"""Rows in a row for which a revision may be away. A replay to one that is down would take hours and show nothing; wrong answers and 500s are evidence."""
_log = logging.getLogger(__name__)


class ReplayEnded(Exception):  # noqa: N818  (named for what it means)
    """A replay cannot go on. The text says why."""


class Replay:
    """Counts of one replay."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.pairs = Tally(class_names)
        self.labelled = LabelledTally()
        self.rows_done = 0
        self.away = 0
        """Newest rows in a row for which a revision was away."""


class Replays:
    """The golden set of a process, and its replays."""

    def __init__(
        self,
        file: GoldenFile,
        pairs: Pairs,
        rate: Rate,
        slots: Slots,
        *,
        warm_up: WarmUp,
        class_names: Sequence[str],
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self._file = file
        self._pairs = pairs
        self._rate = rate
        self._slots = slots
        self._warm_up = warm_up
        self._class_names = class_names
        self._pause_seconds = pause_seconds
        self._check: GoldenCheck | None = None
        self._problem: str | None = None
        self._failure: str | None = None
        self._wanted = self._completed = 0
        self._asked = asyncio.Event()
        self._current: Replay | None = None
        self._last: Replay | None = None
        self.pairs = Tally(class_names)
        """Of all replays."""
        self.labelled = LabelledTally()

    @property
    def problem(self) -> str | None:
        """Why the set cannot be replayed; None if it can, or is still being read."""
        return self._problem

    def want(self, times: int) -> None:
        """See to it that there are so many replays since the start of the process."""
        self._wanted = max(self._wanted, times)
        self._asked.set()

    def message(self) -> GoldenCounts:
        """Return set, progress and counts as they are now."""
        check, last = self._check, self._last
        return GoldenCounts(
            rows=check.rows if check else 0,
            bad_rows=check.bad_rows if check else 0,
            first_bad_rows=list(check.first_bad_rows) if check else [],
            digest=check.digest if check else None,
            problem=self._problem,
            wanted=self._wanted,
            completed=self._completed,
            rows_done=self._current.rows_done if self._current else 0,
            failure=self._failure,
            pairs=self.pairs.message(),
            labelled=self.labelled.message(),
            last_pairs=last.pairs.message() if last else None,
            last_labelled=last.labelled.message() if last else None,
        )

    async def run(self) -> None:
        """Check the set, then replay it whenever that is wanted, until cancelled."""
        try:
            self._check = await asyncio.to_thread(self._file.check)
        except GoldenSetRefused as error:
            self._problem = str(error)
            _log.error("the golden set is not used: %s", error)
            return
        for sentence in self._check.first_bad_rows:
            _log.warning("%s: %s", self._file.path, sentence)
        _log.info("golden set: %d rows, %d cannot be used", self._check.rows, self._check.bad_rows)
        while True:
            while self._completed >= self._wanted:
                self._asked.clear()
                await self._asked.wait()
            await self._replay_once()

    async def _replay_once(self) -> None:
        self._current, self._failure = Replay(self._class_names), None
        try:
            await self._replay(self._current)
        except (ReplayEnded, GoldenSetRefused) as error:
            self._failure = str(error)
            self._wanted = self._completed
            _log.error("the replay of the golden set ended early: %s", error)
        else:
            self._completed += 1
            self._last = self._current
        self._current = None

    async def _replay(self, replay: Replay) -> None:
        """Start all rows, as fast as is allowed, and wait for them."""
        digest, tasks = hashlib.sha256(), set[asyncio.Task[None]]()
        rows = self._file.read(digest=digest)
        while some := await asyncio.to_thread(_next_rows, rows):
            for row in some:
                if not isinstance(row, GoldenRow):
                    continue
                await self._turn()
                task = await self._slots.start(partial(self._compare, row, replay))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                if replay.away >= MOST_AWAY:
                    raise ReplayEnded(_away_sentence(replay))
        if tasks:
            await asyncio.wait(tasks)
        if self._check is not None and named(digest) != self._check.digest:
            raise ReplayEnded("the file has changed since the process began; start another process for another set")

    async def _turn(self) -> None:
        """Wait until the rate allows another row."""
        clock = asyncio.get_running_loop().time
        while not self._rate.takes(clock()):  # noqa: ASYNC110  (time passes by itself)
            await asyncio.sleep(self._rate.wait(clock()))

    async def _compare(self, row: GoldenRow, replay: Replay) -> None:
        pair = await self._answered(row.target, row.body)
        is_warm = pair.answered_by_both and self._warm_up.is_over()
        for tally in (self.pairs, replay.pairs):
            tally.add(pair, is_warm=is_warm)
        if pair.is_evidence and row.right is not None:
            for labelled in (self.labelled, replay.labelled):
                labelled.add(
                    stable=pair.stable.only_choice,
                    canary=pair.canary.only_choice,
                    right=row.right,
                    reference=row.reference,
                )
        replay.rows_done += 1
        is_away = {pair.stable.failure, pair.canary.failure} & _AWAY
        replay.away = replay.away + 1 if is_away else 0

    async def _answered(self, target: bytes, body: bytes) -> Comparison:
        """Ask both; a few times while it is not the model's fault that one does not answer."""
        for _ in range(_TRIES - 1):
            pair = await self._pairs.compare(target, body, is_golden=True)
            if not {pair.stable.failure, pair.canary.failure} & _TRANSIENT:
                return pair
            await asyncio.sleep(self._pause_seconds)
        return await self._pairs.compare(target, body, is_golden=True)


def _next_rows(rows: Iterator[GoldenRow | BadRow]) -> list[GoldenRow | BadRow]:
    """Return the next rows; at the end an empty list."""
    found = []
    for row in rows:
        found.append(row)
        if len(found) == _ROWS_AHEAD or (isinstance(row, GoldenRow) and len(row.body) > 100_000):
            break
    return found


def _away_sentence(replay: Replay) -> str:
    failures = [
        f"{role}: {', '.join(f'{count} {failure}' for failure, count in counts.items())}"
        for role, counts in (("stable", replay.pairs.stable_failures), ("canary", replay.pairs.canary_failures))
        if counts
    ]
    return f"a revision was away for {MOST_AWAY} rows in a row ({'; '.join(failures)}); ask again once it is back"
