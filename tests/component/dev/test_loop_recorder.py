"""Series of a real Prometheus, also of one that has ended, stored and read again; and the queries of the page, which it must understand."""

from __future__ import annotations

import asyncio
import time

import pytest
from demo_loop.recorder import fetched, kept, page_queries, store
from demo_loop.series import stored

from tuneloop_cli.local.prometheus.configuration import Target
from tuneloop_cli.local.prometheus.local_prometheus import LocalPrometheus

NOTHING = "127.0.0.1:9"
"""Where nobody listens: Prometheus notes that the target is down."""
QUERIES = page_queries(namespace="default", deployment="reviews", window="2m")
UP = 'up{deployment="reviews"}'
DEADLINE = 60.0


def test_series_of_a_session_are_read_after_its_end(tmp_path) -> None:
    async def until_scraped(url: str) -> float:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            now = time.time()
            if (await fetched(url, {"up": UP}, begin=now, end=now))["up"]["data"]["result"]:
                return now
            await asyncio.sleep(0.1)
        raise AssertionError("nothing was scraped")

    async def life() -> tuple[float, dict]:
        async with LocalPrometheus(tmp_path / "prometheus", say=print, scrape_seconds=1) as prometheus:
            prometheus.targets([Target(address=NOTHING, namespace="default", deployment="reviews")])
            scraped = await until_scraped(prometheus.url)
            with pytest.raises(ValueError, match="parse error"):
                await fetched(prometheus.url, {"wrong": "sum("}, begin=scraped, end=scraped)
        return scraped, await kept(tmp_path / "prometheus", QUERIES | {"up": UP}, begin=scraped, end=scraped)

    scraped, replies = asyncio.run(life())
    store(replies, tmp_path / "series.json")
    found = stored(tmp_path / "series.json")
    (up,) = found.pop("up")
    assert up.labels["deployment"] == "reviews"
    assert up.points == ((pytest.approx(scraped, abs=0.01), 0.0),)
    assert found == {name: [] for name in QUERIES}
