"""Series of a real Prometheus, stored and read again; and the queries of the page, which it must understand."""

from __future__ import annotations

import asyncio
import time

import pytest
from demo_loop.recorder import STEP_SECONDS, fetched, page_queries, store
from demo_loop.series import stored

from tuneloop_cli.local.prometheus.local_prometheus import LocalPrometheus

QUERIES = page_queries(namespace="default", deployment="reviews", window="2m")


def test_series_come_back_from_their_file_and_wrong_queries_are_named(tmp_path) -> None:
    async def life() -> dict:
        async with LocalPrometheus(tmp_path / "prometheus", say=print) as prometheus:
            end = time.time()
            queries = QUERIES | {"one": 'label_replace(vector(1), "feature", "tokens", "", "")'}
            replies = await fetched(prometheus.url, queries, begin=end - 4 * STEP_SECONDS, end=end)
            with pytest.raises(ValueError, match="parse error"):
                await fetched(prometheus.url, {"wrong": "sum("}, begin=end - 1, end=end)
        return replies

    (tmp_path / "prometheus").mkdir()
    store(asyncio.run(life()), tmp_path / "series.json")
    found = stored(tmp_path / "series.json")
    (one,) = found.pop("one")
    assert one.labels == {"feature": "tokens"}
    assert [value for _, value in one.points] == [1.0] * 5
    assert found == {key: [] for key in QUERIES}
