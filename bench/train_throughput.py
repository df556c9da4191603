"""Training speed on real sentences, in one run: ours, our own on equal-length rectangles, the Hugging Face Trainer at its best.

    python bench/train_throughput.py [--steps 40] [--rounds 2]

Prints tokens per second without padding (median over rounds), the padding's share, and the ratios: goals are padding <= 5 %,
>= 90 % of the rectangles' speed, >= 1.1 x the Trainer. Both sides run as one process with all cores and as two ranks. The rounds alternate,
since machines drift.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

from training_runs import DEMO, REVIEWS, hugging_face, ours, prepare

OURS, THEIRS = ("tuneloop-1", "tuneloop-2"), ("trainer-1", "trainer-2")


def main() -> int:
    """Return 0."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=40)
    options.add_argument("--rounds", type=int, default=2)
    given = options.parse_args()
    cores = len(os.sched_getaffinity(0))
    training = {
        "maxSteps": given.steps,
        "globalBatchSize": 32,
        "microBatchSize": 16,
        "learningRate": 2e-4,
        "warmupRatio": 0.06,
        "evaluateEvery": {"steps": 10**6},
    }
    checkpoint = {"everySteps": 10**6}
    with tempfile.TemporaryDirectory() as scratch:
        real, even = Path(scratch) / "real", Path(scratch) / "even"
        for folder in (real, even):
            folder.mkdir()
        prepared = prepare(real, source=REVIEWS, training=training)
        rectangles = {"uri": f"file://{_equal_lengths(even, words=_mean_words())}"}
        peer = {"seed": 1, "steps": given.steps, "learning_rate": 2e-4, "warmup_steps": 2}
        ranks = partial(ours, ranks=2, training=training, checkpoint=checkpoint)
        single = partial(ours, ranks=1, threads=cores, checkpoint=checkpoint)
        whole = training | {"microBatchSize": 32}
        theirs = partial(hugging_face, real, prepared)
        runs = {
            "tuneloop-1": lambda: single(real, source=REVIEWS, training=whole),
            "tuneloop-2": lambda: ranks(real, source=REVIEWS),
            "rectangles-1": lambda: single(even, source=rectangles, training=whole),
            "trainer-1": lambda: theirs(ranks=1, options=peer | {"batch": 32}),
            "trainer-1k": lambda: theirs(ranks=1, options=peer | {"batch": 32}, keep_memory=True),
            "trainer-2": lambda: theirs(ranks=2, options=peer | {"batch": 16}),
        }
        measured = {name: [] for name in runs}
        for number in range(given.rounds):
            for name, run in runs.items():
                measured[name].append(run())
                print(f"round {number + 1}  {name:<11}{measured[name][-1].tokens_per_second:8.0f} tokens/s", flush=True)
    _report(measured)
    return 0


def _report(measured: dict) -> None:
    speed = {name: statistics.median(run.tokens_per_second for run in runs) for name, runs in measured.items()}
    first = measured["tuneloop-1"][0]
    padding = 1 - first.tokens_per_second / first.computed_per_second
    best, peer = (max(names, key=lambda name: speed[name]) for names in (OURS, THEIRS))
    print(f"\npadding           {padding:6.1%} of all tokens (goal <= 5 %)")
    print(f"of rectangles     {speed['tuneloop-1'] / speed['rectangles-1']:6.2f} x (goal >= 0.9)")
    print(
        f"of HF Trainer     {speed[best] / speed[peer]:6.2f} x: {best} against {peer}, the best of each (goal >= 1.1)"
    )
    print(
        f"                  {speed[best] / speed['trainer-1k']:6.2f} x with our allocator settings given to it (trainer-1k)"
    )
    print(f"two ranks         {speed['tuneloop-2'] / speed['trainer-2']:6.2f} x of its two-process DDP")


def _mean_words() -> int:
    with (DEMO / "movie-reviews.csv").open(newline="", encoding="utf-8") as file:
        return round(statistics.mean(len(row["sentence"].split()) for row in csv.DictReader(file)))


def _equal_lengths(folder: Path, *, words: int) -> Path:
    """Write rows that all have the same number of tokens: words that are one token each."""
    vocabulary = [
        word for word in (DEMO / "minilm" / "vocab.txt").read_text().split() if word.isalpha() and word.isascii()
    ]
    source = random.Random(0)
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(
            [" ".join(source.choices(vocabulary, k=words + 4)), source.choice(["a", "b"])] for _ in range(8000)
        )
    return path


if __name__ == "__main__":
    sys.exit(main())
