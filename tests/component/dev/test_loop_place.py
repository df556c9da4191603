"""The session on this machine as the place of the story of drift."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from demo_loop.place import MODEL, LocalPlace, wait_for
from local_manifests import fine_tune_job
from scraped_numbers import require_prometheus

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE = 60.0


def test_a_session_keeps_what_is_submitted_and_leaves_its_series(tmp_path: Path) -> None:
    require_prometheus()
    (tmp_path / "source" / MODEL).mkdir(parents=True)
    folder = tmp_path / "story"

    async def life() -> tuple[dict[str, Any], list[str], dict[str, Any]]:
        async with asyncio.timeout(DEADLINE), LocalPlace(folder, source=tmp_path / "source") as place:
            await place.submit(fine_tune_job("again", suspend=True))
            stored = await wait_for(place, "FineTuneJob", "again", until=lambda job: "status" in job)
            documents = await place.documents()
            return stored, list(documents.jobs), await place.series({"up": "up"}, begin=0.0, end=5.0)

    stored, jobs, series = asyncio.run(life())
    assert stored["spec"]["suspend"]
    assert jobs == ["again"]
    assert series["up"]["status"] == "success"
    assert (folder / "claims" / "demo" / MODEL).resolve() == tmp_path / "source" / MODEL
