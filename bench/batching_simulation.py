"""How long texts wait, and how many are answered, by the policy that chooses a batch. Counts tokens and passes; runs no model.

    PYTHONPATH=api:server .venv/bin/python bench/batching_simulation.py [--clients 4,8,16,64]    # 1 minute of one core

Clients send their next text once the last text was answered (`tests/support/closed_loop.py`). Lengths are those of `bench/serve.py`'s texts.
Figures are against passes in order of arrival, median of the seeds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from serve import DEMO, KINDS_OF_TEXTS, demo_artifact
from serve_load import texts_of
from serve_servers import ROOT
from tokenizers import Tokenizer

from tuneloop_server.batching.batch_plan import next_batch

sys.path.insert(0, str(ROOT / "tests" / "support"))
from closed_loop import PASS, cheapest, closed_loop, in_order

if TYPE_CHECKING:
    from closed_loop import Figures, Policy

SEEDS = range(3)
POLICIES: dict[str, Policy] = {
    "the server's": lambda lengths, most: next_batch(lengths, max_batch_size=most),
    "cheapest of 1 batch's worth": partial(cheapest, batches=1),
    "cheapest of 2": partial(cheapest, batches=2),
    "cheapest of 3": partial(cheapest, batches=3),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=lambda text: [int(part) for part in text.split(",")], default=[4, 8, 16, 64])
    parser.add_argument("--fixed", type=int, default=PASS, help="cost of a pass, in tokens")
    arguments = parser.parse_args()
    print(f"{'texts':<6} {'clients':>7}  {'policy':<28} {'rate':>6} {'p50':>6} {'p99':>6}  most passes")
    for kind, lengths in lengths_of_texts().items():
        for clients in arguments.clients:
            run = partial(closed_loop, lengths=lengths, clients=clients, fixed=arguments.fixed)
            ordered = [run(in_order, seed=seed) for seed in SEEDS]
            for name, policy in POLICIES.items():
                ours = [run(policy, seed=seed) for seed in SEEDS]
                print(f"{kind:<6} {clients:>7}  {name:<28} {compared(ours, ordered)}", flush=True)
    return 0


def compared(ours: list[Figures], ordered: list[Figures]) -> str:
    """Return the ratios, and the most passes that a text waited for, with those in order of arrival in brackets."""
    ratios = [
        statistics.median(
            getattr(mine, name) / getattr(theirs, name) for mine, theirs in zip(ours, ordered, strict=True)
        )
        for name in ("rate", "p50", "p99")
    ]
    most, most_ordered = (max(run.most_passes for run in runs) for runs in (ours, ordered))
    return " ".join(f"{ratio:>6.2f}" for ratio in ratios) + f"  {most} ({most_ordered})"


def lengths_of_texts() -> dict[str, list[int]]:
    """Return the tokens of each text, by the kind of texts."""
    with tempfile.TemporaryDirectory(prefix="tuneloop-bench-") as folder:
        artifact = demo_artifact(Path(folder) / "artifact")
        tokenizer = Tokenizer.from_file(str(artifact / "model" / "tokenizer.json"))
        tokenizer.no_padding()
        texts = {kind: texts_of(kind, DEMO / "movie-reviews.csv", artifact=artifact) for kind in KINDS_OF_TEXTS}
    return {kind: [len(tokenizer.encode(text)) for text in of_kind] for kind, of_kind in texts.items()}


if __name__ == "__main__":
    sys.exit(main())
