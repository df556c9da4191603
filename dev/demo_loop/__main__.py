"""Show the story of drift, whole, on this machine: `make demo-loop`, or `python -m demo_loop --seed 2 --pair tweets:movies`.

With `--cluster` (`make demo-loop-cluster`) it goes the same way on the one-node Kubernetes of `dev/cluster`.

A model of film reviews serves; the traffic turns to tweets; a trigger sees by the labels of clients that the model is right less often; the operator trains another one with what clients have labelled, compares it with the one that
serves, and gives it the requests step by step. Exit code 0 only if all of that happened and no request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import ClusterError
from demo_cluster import DemoError
from images.errors import ImageError
from loop_report import TITLE, picture

from demo_loop.checks import checks, described
from demo_loop.decisions import runs_of
from demo_loop.domains import FILES
from demo_loop.node import NodePlace
from demo_loop.place import LocalPlace
from demo_loop.progress import Progress
from demo_loop.recorder import page_queries, store
from demo_loop.report import page
from demo_loop.series import stored
from demo_loop.story import DEPLOYMENT, TRIGGER, Story, StoryStoppedError
from demo_loop.windows import periods
from tuneloop_cli.commands.explain import explained
from tuneloop_cli.commands.lineage import tree_of
from tuneloop_cli.lineage.lines import lines
from tuneloop_cli.views.retraining import retraining_story

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo_loop.events import Event
    from demo_loop.place import Place

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / ".tuneloop" / "claims" / "demo"
FOLDER, CLUSTER_FOLDER = ROOT / ".tuneloop" / "demo-loop", ROOT / ".tuneloop" / "demo-loop-cluster"
"""Made anew each time: a session would go on from the one before."""
WINDOW = "2m"
"""Of the drift in the page."""
INTERRUPTED = 130


def main() -> int:
    """Return 0 if the story went as it should."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=1, help="of the division of the texts, and of the traffic")
    options.add_argument("--pair", type=pair, default="movies:tweets", metavar="OLD:NEW", help="of " + ", ".join(FILES))
    options.add_argument("--cluster", action="store_true", help="on a real one-node Kubernetes (root, Debian)")
    given = options.parse_args()
    place = NodePlace(CLUSTER_FOLDER) if given.cluster else LocalPlace(FOLDER, source=SOURCE)
    try:
        return asyncio.run(demo(place, given.pair, seed=given.seed))
    except (DemoError, ClusterError, ImageError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\ninterrupted; everything that was started has ended", flush=True)
        return INTERRUPTED


def pair(text: str) -> tuple[str, str]:
    """Return the two kinds of text of `OLD:NEW`. Raises ArgumentTypeError."""
    old, _, new = text.partition(":")
    if not {old, new} <= FILES.keys() or old == new:
        raise argparse.ArgumentTypeError(
            f"found {text!r}; allowed are two different ones of {', '.join(FILES)}; for example movies:tweets"
        )
    return old, new


async def demo(where: LocalPlace | NodePlace, domains: tuple[str, str], *, seed: int) -> int:
    """Return 0 if every check holds."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    shutil.rmtree(where.folder, ignore_errors=True)
    where.folder.mkdir(parents=True)
    began = time.time()
    progress = Progress(sys.stdout, began=began, trigger=TRIGGER)
    async with where as place:
        story = Story(
            place=place,
            examples=ROOT / "examples" / "loop",
            pair=domains,
            seed=seed,
            events_file=place.folder / "events.jsonl",
            progress=progress,
        )
        stopped = await _ended(story)
        if not story.deployment:
            return 1
        _print_numbers(story.events)
        print(f"\n{explained(DEPLOYMENT, story.deployment)}")
        print("\n".join(["", *lines(tree_of(f"mdep/{DEPLOYMENT}", await place.documents()))]), flush=True)
        await _write_page(place, story.events, domains)
    run = ([{}, *runs_of(story.deployment.get("status") or {})])[-1]
    found = list(checks(story.events, run, story.comparison, trigger=TRIGGER))
    print("\n".join(["", *(f"{'yes' if check.holds else 'NO ':<4}{check.name}: {check.found}" for check in found)]))
    print(f"\nseed {seed}, {' to '.join(domains)}; {(time.time() - began) / 60:.1f} min in all")
    return 0 if not stopped and all(check.holds for check in found) else 1


async def _ended(story: Story) -> bool:
    """Return whether the story stopped before its end; print where, and the last status."""
    reasons: list[str] = []
    try:
        await story.run(SOURCE)
    except* StoryStoppedError as group:
        reasons += map(str, group.exceptions)
    if not reasons:
        return False
    print(f"\nstopped in phase {story.progress.phase}: {'; '.join(reasons)}")
    if story.deployment:
        rollout = (story.deployment.get("status") or {}).get("rollout") or {}
        print(f"loop: {retraining_story(story.deployment)}")
        print(f"roll-out: {rollout.get('phase')}: {rollout.get('message', '')}")
    print(f"logs: {story.place.logs}", flush=True)
    return True


async def _write_page(place: Place, events: Sequence[Event], domains: tuple[str, str]) -> None:
    """Write events, series and page; a picture where there is a browser."""
    queries = page_queries(namespace="default", deployment=DEPLOYMENT, window=WINDOW)
    series, target = place.folder / "series.json", place.folder / "page.html"
    begin, end = (select(event.at for event in events) for select in (min, max))
    store(await place.series(queries, begin=begin, end=end), series)
    target.write_text(page(events, stored(series), title=f"{TITLE} ({' to '.join(domains)})"), encoding="utf-8")
    print(f"\npage: {target}", flush=True)
    if picture(target, target.with_suffix(".png")) == 0:
        print(f"picture: {target.with_suffix('.png')}")


def _print_numbers(events: Sequence[Event]) -> None:
    print("\n\naccuracy, with 95 % intervals (Wilson)")
    for period in periods(events):
        print(f"  {period.name:<36}{described(period.true)}; by labels {described(period.by_feedback)}")


if __name__ == "__main__":
    sys.exit(main())
