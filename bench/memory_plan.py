"""Planned against measured memory of a rank, on real gangs of CPU ranks with MiniLM.

    python bench/memory_plan.py [--cells 4]

Prints a table with the peak resident set that a rank reached (the largest of all ranks) beside what `prepare` planned; goal: at most 15 % off.
Rows of one length are all as long as `maxTokens`, so that each micro-batch is as large as planned; film reviews differ, and train longer, since
it takes some hundred steps until the heap does not grow any more. Where a GPU is found, the same runs use it.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import tempfile
from pathlib import Path

from training_runs import DEMO, REVIEWS, ours

MIB = 2**20
GOAL = 0.15
STEPS, STEPS_OF_REVIEWS = 6, 150
CELLS = [
    # method, stage, ranks, micro-batch, tokens; no tokens: film reviews, as the demo trains them
    ("full", 2, 2, 16, None),
    ("full", 0, 2, 16, None),
    ("full", 3, 2, 16, None),
    ("full", 2, 1, 16, None),
    ("lora", 2, 2, 16, None),
    ("full", 0, 1, 16, 64),
    ("full", 2, 2, 16, 64),
    ("full", 3, 2, 16, 64),
    ("lora", 2, 2, 16, 64),
    ("full", 0, 2, 8, 64),
    ("full", 1, 1, 16, 64),
    ("full", 2, 1, 16, 64),
    ("full", 3, 1, 16, 64),
    ("full", 2, 2, 8, 256),
    ("full", 0, 1, 8, 512),
    ("lora", 0, 1, 16, 64),
    ("lora", 0, 2, 8, 256),
    ("lora", 3, 2, 16, 64),
]


def main() -> int:
    """Return 0 if every cell is within the goal, else 1."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cells", type=int, default=len(CELLS), help="only the first so many")
    print(
        f"{'method':<8}{'stage':<7}{'ranks':<7}{'rows x tokens':<15}{'planned MiB':>12}{'measured MiB':>14}{'off':>8}"
    )
    return int(any([_cell(*cell) > GOAL for cell in CELLS[: options.parse_args().cells]]))  # noqa: C419  (all are shown)


def _cell(method: str, stage: int, ranks: int, rows: int, tokens: int | None) -> float:
    steps = STEPS if tokens else STEPS_OF_REVIEWS
    blocks = {
        "method": {"type": method},
        "deepspeed": {"stage": stage},
        "data": {"maxTokens": tokens} if tokens else {},
        "training": {"maxSteps": steps, "globalBatchSize": rows * ranks, "microBatchSize": rows, "warmupRatio": 0.06},
        "checkpoint": {"everySteps": steps // 3},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = {"uri": f"file://{_rows(folder, words=tokens)}"} if tokens else REVIEWS
        ours(folder, source=source, ranks=ranks, **blocks)
        planned, measured = (
            json.loads((folder / "job" / f"{stage}.json").read_text()) for stage in ("prepare", "train")
        )
    plan, peak = planned["memory"]["total"], measured["peakMemoryBytes"]
    off = plan / peak - 1
    cell = f"{method:<8}{stage:<7}{ranks:<7}{f'{rows} x {tokens}' if tokens else f'{rows} reviews':<15}"
    print(f"{cell}{plan / MIB:>12.0f}{peak / MIB:>14.0f}{off:>+8.1%}", flush=True)
    return abs(off)


def _rows(folder: Path, *, words: int) -> Path:
    """Write rows of `words` words, each of which is one token."""
    known = [word for word in (DEMO / "minilm" / "vocab.txt").read_text().split() if word.isalpha() and word.isascii()]
    source = random.Random(0)
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([" ".join(source.choices(known, k=words)), "ab"[number % 2]] for number in range(200))
    return path


if __name__ == "__main__":
    sys.exit(main())
