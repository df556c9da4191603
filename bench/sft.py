"""LoRA fine-tuning of a decoder on texts: ours packed and not, beside TRL's SFTTrainer packed and not, on the same tokens in one run.

    pip install --no-deps --target /tmp/trl trl==1.16.0
    PYTHONPATH=/tmp/trl .venv/bin/python bench/sft.py --model FOLDER [--steps 6] [--rounds 2] [--most-tokens 256]

Prints tokens per second of processor time and of the clock, without padding, and the ratios: goal >= 1.0 x TRL packed. Read processor time where other programs run. Each side runs twice,
over 2 steps and over `--steps` more: the difference is that of the steps alone, without imports, loading and measuring. The rounds alternate.
One process with one thread, fp32, rank 16 on all linear layers, 16 rows a step; a packed step of TRL has as many tokens.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from training_runs import DEMO, ours_trained, prepare

FIRST_STEPS, ROWS, MICRO_BATCH = 2, 16, 8
PEER = Path(__file__).with_name("trl_peer.py")


@dataclass(frozen=True)
class Spent:
    """What a run of some steps took."""

    tokens: int
    processor: float
    """Seconds of user and system time, of all processes."""
    clock: float
    """Seconds."""

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.tokens - other.tokens, self.processor - other.processor, self.clock - other.clock)


def main() -> int:
    """Return 0."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--steps", type=int, default=6)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--most-tokens", type=int, default=256)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = {"uri": f"file://{_texts(folder / 'texts.jsonl')}"}
        sides = {
            "tuneloop packed": lambda steps: _ours(folder, given, source, steps, packing="auto"),
            "tuneloop": lambda steps: _ours(folder, given, source, steps, packing="never"),
            "trl packed": lambda steps: _trl(folder, given, steps, packed=True),
            "trl": lambda steps: _trl(folder, given, steps, packed=False),
        }
        found: dict[str, list[Spent]] = {name: [] for name in sides}
        for number in range(given.rounds):
            for name, run in sides.items():
                spent = run(FIRST_STEPS + given.steps) - run(FIRST_STEPS)
                found[name].append(spent)
                print(
                    f"round {number + 1}  {name:<16}{spent.tokens:7,} tokens  {spent.tokens / spent.processor:7.1f} a processor second"
                    f"  {spent.tokens / spent.clock:7.1f} a second",
                    flush=True,
                )
    _report(found)
    return 0


def _report(found: dict[str, list[Spent]]) -> None:
    speed = {name: statistics.median(spent.tokens / spent.processor for spent in runs) for name, runs in found.items()}
    print("\nby processor time, median of the rounds")
    for peer in ("trl packed", "trl", "tuneloop"):
        print(f"tuneloop packed against {peer:<12}{speed['tuneloop packed'] / speed[peer]:6.2f} x")


def _texts(path: Path) -> Path:
    """Write texts of one to twelve sentences of film reviews, short ones more often."""
    source = random.Random(0)
    with (DEMO / "movie-reviews.csv").open(newline="", encoding="utf-8") as file:
        sentences = [row["sentence"] for row in csv.DictReader(file)]
    texts = []
    while sentences:
        count = min(source.randint(1, 12), source.randint(1, 12))
        texts.append(" ".join(sentences[:count]))
        del sentences[:count]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def _ours(folder: Path, given: argparse.Namespace, source: dict, steps: int, *, packing: str) -> Spent:
    blocks = {
        "model": {"uri": f"file://{given.model}"},
        "task": "text-generation",
        "data": {"format": "text", "maxTokens": given.most_tokens, "packing": packing, "split": {"validation": 0.01, "test": 0.01}},
        "method": {"type": "lora", "rank": 16, "dropout": 0.0},
        "training": {
            "maxSteps": steps,
            "globalBatchSize": ROWS,
            "microBatchSize": MICRO_BATCH,
            "learningRate": 2e-4,
            "evaluateEvery": {"steps": 10**6},
        },
        "checkpoint": {"everySteps": 10**6},
        "preflight": {"rehearsal": False},
        "gang": {"nodes": 1, "gpusPerNode": 0, "processesPerNode": 1},
    }  # fmt: skip
    prepared = prepare(folder, source=source, **_copy(blocks))
    (folder / "dataset").write_text(prepared["datasetPath"])
    with _Meter() as meter:
        lines = ours_trained(folder, source=source, threads=1, **_copy(blocks))
    return meter.spent(sum(line["tokens"] for line in lines))


def _copy(blocks: dict) -> dict:
    return json.loads(json.dumps(blocks))


def _trl(folder: Path, given: argparse.Namespace, steps: int, *, packed: bool) -> Spent:
    out = folder / "trl.json"
    options = {
        "dataset": (folder / "dataset").read_text(),
        "model": str(given.model),
        "out": str(out),
        "steps": steps,
        "rows": ROWS,
        "micro_batch": MICRO_BATCH,
        "packed": packed,
        "most_tokens": given.most_tokens,
    }
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with _Meter() as meter, (folder / "trl.log").open("w") as log:
        ended = subprocess.run(
            [sys.executable, str(PEER), json.dumps(options)], env=environment, stdout=log, stderr=log, check=False
        )
    if ended.returncode:
        sys.exit(f"the peer failed:\n{(folder / 'trl.log').read_text()[-3000:]}")
    return meter.spent(json.loads(out.read_text())["tokens"])


class _Meter:
    """Measures what the processes of a block take."""

    def __enter__(self) -> Self:
        self._clock, self._processor = time.monotonic(), _of_children()
        return self

    def __exit__(self, *_: object) -> None:
        self._clock, self._processor = time.monotonic() - self._clock, _of_children() - self._processor

    def spent(self, tokens: int) -> Spent:
        return Spent(tokens=tokens, processor=self._processor, clock=self._clock)


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
