"""The story of drift in a place whose operator is played: what it submits, what it waits for, and what makes it stop."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import pytest
from demo_loop import story as story_module
from demo_loop.checks import checks
from demo_loop.domains import FILES
from demo_loop.events import Mark
from demo_loop.progress import Progress
from demo_loop.story import TRIGGER, Story, StoryStoppedError
from played_place import PlayedPlace

ROOT = Path(__file__).parents[3]
TRAINED = {"phase": "Succeeded", "evaluation": {"metrics": [{"name": "accuracy", "value": 0.8}]}}
FAILED = {"phase": "Failed", "failure": {"reason": "Diverged"}}
DEADLINE = 60.0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rated texts of two kinds: enough for files and traffic."""
    folder = tmp_path_factory.mktemp("texts")
    for domain, count in (("movies", 5000), ("tweets", 2000)):
        with (folder / FILES[domain]).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "rating", "sentence"])
            rows.writerows([number, 2 if number % 2 else -2, f"{domain[:-1]} {number}"] for number in range(count))
    return folder


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story of minutes in a second."""
    for name, seconds in (("STEADY_SECONDS", 0.2), ("AFTER_SECONDS", 0.2)):
        monkeypatch.setattr(story_module, name, seconds)
    monkeypatch.setattr(story_module, "PER_SECOND", 100.0)


def whole_way(folder: Path, source: Path, **place: Any) -> tuple[Story, PlayedPlace, list[str]]:
    """Go the whole way; return the story, the place, and why the story stopped."""

    async def life() -> tuple[Story, PlayedPlace, list[str]]:
        async with asyncio.timeout(DEADLINE), PlayedPlace(folder, **place) as played:
            story = Story(
                place=played,
                examples=ROOT / "examples" / "loop",
                pair=("movies", "tweets"),
                seed=1,
                events_file=folder / "events.jsonl",
                progress=Progress(io.StringIO(), began=0.0, trigger=TRIGGER),
            )
            reasons: list[str] = []
            try:
                await story.run(source)
            except* StoryStoppedError as group:
                reasons += map(str, group.exceptions)
            return story, played, reasons

    return asyncio.run(life())


def test_the_story_goes_from_a_first_model_to_a_promotion(tmp_path: Path, source: Path) -> None:
    story, place, reasons = whole_way(tmp_path, source, first_job=TRAINED)
    assert reasons == []
    marks = [event.name for event in story.events if isinstance(event, Mark)]
    assert [name for name in marks if name in {"trained", "turn", "promoted", "judged"}][:2] == ["trained", "turn"]
    assert {"promoted", "judged", "ended"} <= set(marks)
    assert {path.name for path in (place.claim / "story").iterdir()} >= {"train.csv", "golden.jsonl"}


def test_jobs_and_deployment_of_the_examples_are_submitted(tmp_path: Path, source: Path) -> None:
    _, place, _ = whole_way(tmp_path, source, first_job=TRAINED)
    jobs = [("FineTuneJob", "reviews"), ("FineTuneJob", "reviews-again")]
    assert list(place.submitted) == [*jobs, ("ModelDeployment", "reviews")]


def test_the_trigger_fires_three_points_below_the_first_model(tmp_path: Path, source: Path) -> None:
    _, place, _ = whole_way(tmp_path, source, first_job=TRAINED)
    (trigger,) = place.submitted["ModelDeployment", "reviews"]["spec"]["retraining"]["triggers"]
    assert trigger["threshold"] == pytest.approx(1 - 0.8 + 0.03)


def test_all_that_the_checks_need_comes_from_the_place(tmp_path: Path, source: Path) -> None:
    story, *_ = whole_way(tmp_path, source, first_job=TRAINED)
    (run,) = story.deployment["status"]["retraining"]["history"]
    found = {check.name: check.holds for check in checks(story.events, run, story.comparison, trigger=TRIGGER)}
    assert found.pop("accuracy rose again, beyond doubt") is False  # the played model never changes its answers
    assert set(found.values()) == {True}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        pytest.param(
            {"first_job": FAILED}, "FineTuneJob reviews: Failed: {'reason': 'Diverged'}", id="a job that fails"
        ),
        pytest.param(
            {"first_job": TRAINED, "runs_at_once": True},
            "a run started before the traffic turned",
            id="a run too early",
        ),
    ],
)
def test_the_story_stops_and_says_why(tmp_path: Path, source: Path, place: dict[str, Any], reason: str) -> None:
    _, _, reasons = whole_way(tmp_path, source, **place)
    assert len(reasons) == 1
    assert reasons[0].startswith(reason)
