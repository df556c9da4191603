"""Send real texts to a deployment, turn to another kind of text, and send labels late: `python dev/loop_traffic.py --url http://… --old movies --new tweets`.

The texts are those of `dev/real_data.py` that are in none of the story's files (`demo_loop/files.py`): a model that learned from those has seen none of them. One seed is one division of the rows and one stream of requests and labels.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from demo_loop.client import TrafficClient
from demo_loop.domains import FILES, divided, read_domain
from demo_loop.events import Mark, to_line
from demo_loop.files import story_traffic
from demo_loop.live_line import LiveLine
from demo_loop.plan import Requests, TrafficPlan

if TYPE_CHECKING:
    from demo_loop.events import Event

CLAIM = Path(__file__).resolve().parent.parent / ".tuneloop" / "claims" / "demo"


def main() -> int:
    """Return 0 when all was sent."""
    given = _options()
    plan = TrafficPlan(
        per_second=given.per_second,
        share_before=given.share_before,
        share_after=given.share_after,
        labelled=given.labelled,
        wrong_labels=given.wrong,
        delay_seconds=given.delay,
        delay_spread=given.delay_spread,
        sends_texts=given.send_texts,
        seed=given.seed,
    )
    splits = [divided(read_domain(given.claim, domain), seed=given.seed) for domain in (given.old, given.new)]
    old, new = story_traffic(*splits)
    asyncio.run(_send(given, plan, Requests(plan, old, new)))
    return 0


def _options() -> argparse.Namespace:
    plan = TrafficPlan()
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--url", required=True, help="address of the deployment, for example http://127.0.0.1:8080")
    options.add_argument("--claim", type=Path, default=CLAIM, help="folder that dev/real_data.py filled")
    options.add_argument("--old", choices=list(FILES), default="movies")
    options.add_argument("--new", choices=list(FILES), default="tweets")
    options.add_argument("--seconds", type=float, default=300)
    options.add_argument("--turn-after", type=float, default=120, help="seconds until the traffic turns")
    options.add_argument("--per-second", type=float, default=plan.per_second)
    options.add_argument("--share-before", type=float, default=plan.share_before, help="of the new domain, 0 to 1")
    options.add_argument("--share-after", type=float, default=plan.share_after, help="of the new domain, 0 to 1")
    options.add_argument("--labelled", type=float, default=plan.labelled, help="share of requests with feedback")
    options.add_argument("--wrong", type=float, default=plan.wrong_labels, help="share of labels that are wrong")
    options.add_argument("--delay", type=float, default=plan.delay_seconds, help="median seconds until a label comes")
    options.add_argument("--delay-spread", type=float, default=plan.delay_spread, help="of the logarithm of that time")
    options.add_argument("--send-texts", action="store_true", help="with the labels, for rows of feedback")
    options.add_argument("--seed", type=int, default=plan.seed)
    options.add_argument("--events", type=Path, required=True, help="file for what happened, lines of JSON")
    return options.parse_args()


async def _send(given: argparse.Namespace, plan: TrafficPlan, requests: Requests) -> None:
    with given.events.open("w", encoding="utf-8") as file:
        live = LiveLine(sys.stdout, began=time.time())

        def record(event: Event) -> None:
            file.write(to_line(event))
            live.add(event)

        def turn() -> None:
            requests.turn()
            record(Mark(at=time.time(), name="turn", text=f"traffic turns from {given.old} to {given.new}"))

        asyncio.get_running_loop().call_later(given.turn_after, turn)
        await TrafficClient(given.url, requests, plan, record).run(given.seconds)
        live.end()


if __name__ == "__main__":
    sys.exit(main())
