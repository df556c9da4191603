"""The life of a comparator: takes copies and golden rows to both revisions, and counts, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from tuneloop_api.contract.comparison import ComparisonCounts, CopyCounts
from tuneloop_server.answers import ANSWERS
from tuneloop_server.comparator.backlog import Backlog
from tuneloop_server.comparator.copies import Arrival, Copies
from tuneloop_server.comparator.generated_requests import PATHS, compared_body
from tuneloop_server.comparator.golden_rows import GoldenFile
from tuneloop_server.comparator.latency import WarmUp
from tuneloop_server.comparator.pairs import Pairs
from tuneloop_server.comparator.rate import Rate
from tuneloop_server.comparator.replays import Replays
from tuneloop_server.comparator.revision import Revision
from tuneloop_server.comparator.slots import Slots
from tuneloop_server.comparator.tally import Tally
from tuneloop_server.prediction_paths import HF_PATHS

if TYPE_CHECKING:
    from tuneloop_api.contract.comparator_config import ComparatorConfig
    from tuneloop_server.comparator.backlog import Copy

_SEED_BITS = 31
"""A seed that every server takes."""
_log = logging.getLogger(__name__)


class ComparatorService:
    """Everything between the two ports and the two revisions. To be made inside a running event loop."""

    def __init__(self, config: ComparatorConfig) -> None:
        self.config = config
        self.is_draining = False
        limits, answers = config.limits, replace(ANSWERS[config.task], tolerance=config.tolerance)
        self._generating = answers.generating
        class_names = answers.class_names(config.labels)
        seconds = limits.generated_answer_seconds if answers.generating else limits.answer_seconds
        stable, canary = (Revision(address, limits, seconds=seconds) for address in (config.stable, config.canary))
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._pairs = Pairs(stable, canary, answers=answers)
        self._warm_up = WarmUp(config.warm_up_pairs)
        self.slots = Slots(limits.concurrency)
        self.backlog = Backlog(limits.queue_requests)
        self.arrivals: Counter[Arrival] = Counter()
        self.live = Tally(class_names)
        self.copies = Copies(
            self.backlog,
            Rate(limits.requests_per_second),
            limits,
            paths=PATHS if answers.generating else HF_PATHS,
            count=self._count_arrival,
            clock=asyncio.get_running_loop().time,
        )
        self.replays = self._replays(class_names)

    def _replays(self, class_names: list[str]) -> Replays | None:
        golden = self.config.golden
        if golden is None:
            return None
        file = GoldenFile(
            path=golden.path,
            answers=ANSWERS[self.config.task],
            labels=self.config.labels,
            max_bad_fraction=golden.max_bad_fraction,
        )
        rate = Rate(self.config.limits.golden_requests_per_second)
        replays = Replays(file, self._pairs, rate, self.slots, warm_up=self._warm_up, class_names=class_names)
        replays.want(golden.times)
        return replays

    @property
    def generates(self) -> bool:
        """Whether the models generate text."""
        return self._generating is not None

    @property
    def not_ready_reason(self) -> str | None:
        """Why no new copies should be sent; None if it is ready."""
        return "the comparator is being stopped" if self.is_draining else None

    def drain(self) -> None:
        """Become not ready, and take no new copies. Those that wait are still compared."""
        self.is_draining = self.copies.is_stopping = True

    def counts(self) -> ComparisonCounts:
        """Return all counts as they are now."""
        config = self.config
        return ComparisonCounts(
            deployment=config.name,
            task=config.task,
            stable=config.stable.name,
            canary=config.canary.name,
            started_at=self._started_at,
            copies=CopyCounts(**{str(arrival): count for arrival, count in self.arrivals.items()}),
            live=self.live.message(),
            golden=self.replays.message() if self.replays else None,
        )

    async def run(self) -> None:
        """Compare until cancelled. Raises the error of a defect: counts that may be wrong must not reach a gate."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_copies())
            group.create_task(self.slots.defect())
            if self.replays is not None:
                group.create_task(self.replays.run())

    async def stop(self, seconds: float) -> None:
        """Finish the pairs under way, in at most so many seconds. To be called once `run` has ended. Copies that wait are dropped."""
        dropped, under_way = self.backlog.drop_all(), self.slots.taken
        cut_off = await self.slots.finish(seconds)
        _log.info(
            "ended: %d pairs were under way, %d of them were cut off; %d copies that waited were dropped",
            under_way,
            cut_off,
            dropped,
        )
        self._pairs.close()

    async def _take_copies(self) -> None:
        while True:
            copy = await self.backlog.take()
            await self.slots.start(partial(self._compare, copy))

    async def _compare(self, copy: Copy) -> None:
        try:
            pair = await self._pairs.compare(copy.target, self._body_of(copy))
        finally:
            copy.share.give_back()
        self.live.add(pair, is_warm=pair.answered_by_both and self._warm_up.is_over())

    def _body_of(self, copy: Copy) -> bytes:
        if self._generating is None:
            return copy.body
        return compared_body(copy.target, copy.body, self._generating, seed=random.getrandbits(_SEED_BITS))

    def _count_arrival(self, arrival: Arrival) -> None:
        self.arrivals[arrival] += 1
