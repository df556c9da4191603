"""30,000 long mails through `tuneloop run`: minutes and peak memory of `prepare`, then 50 training steps.

    python bench/long_mails.py [--mails 30000] [--steps 50]

The mails are made of real sentences of film reviews: headers, quoted lines, signatures, a heavy tail of lengths (median about 600 words, the
longest tens of thousands). Their label is the tenor of most of their sentences, one of five.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".tuneloop" / "claims" / "demo"
TENORS = ("pan", "dislike", "mixed", "like", "rave")
"""Labels, by fifths of the mean rating."""


def main() -> int:
    """Return the exit code of `tuneloop run`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mails", type=int, default=30_000)
    options.add_argument("--steps", type=int, default=50)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        claim = folder / "state" / "claims" / "mails"
        claim.mkdir(parents=True)
        shutil.copytree(DEMO / "minilm", claim / "minilm")
        longest = write_mails(claim / "mails.jsonl", count=given.mails)
        megabytes = (claim / "mails.jsonl").stat().st_size / 1e6
        print(f"{given.mails} mails, {megabytes:.0f} MB, the longest has {longest} words", flush=True)
        manifest = folder / "job.yaml"
        manifest.write_text(json.dumps(job(steps=given.steps)))
        return timed_run(manifest, state=folder / "state")


def job(*, steps: int) -> dict:
    """Return the manifest; JSON is YAML."""
    source = {"uri": "pvc://mails/mails.jsonl", "columns": {"text": "body", "label": "tenor"}}
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "mails"},
        "spec": {
            "model": {"uri": "pvc://mails/minilm"},
            "task": "text-classification",
            "data": {"train": [source], "split": {"validation": 0.01, "test": 0.01}},
            "method": {"type": "full"},
            "training": {"maxSteps": steps, "globalBatchSize": 16, "microBatchSize": 4},
            "evaluation": {"baselines": False},
            "resources": {"nodes": 2, "gpusPerNode": 0},
            "storage": {"claim": "mails"},
        },
    }


def write_mails(path: Path, *, count: int) -> int:
    """Write so many mails; returns the words of the longest."""
    with (DEMO / "movie-reviews.csv").open(newline="", encoding="utf-8") as file:
        rated = sorted(
            ((float(row["rating"]), row["sentence"]) for row in csv.DictReader(file)), key=lambda row: row[0]
        )
    fifths = [rated[len(rated) * part // 5 : len(rated) * (part + 1) // 5] for part in range(5)]
    source = random.Random(7)
    longest = 0
    with path.open("w", encoding="utf-8") as out:
        for number in range(count):
            tenor = source.randrange(len(TENORS))
            sentences = min(round(source.lognormvariate(3.2, 1.1)) + 1, 2000)
            picked = [
                source.choice(fifths[tenor if source.random() < 0.6 else source.randrange(5)])[1]
                for _ in range(sentences)
            ]
            lines = [f"> {line}" if source.random() < 0.1 else line for line in picked]
            body = "\n".join([f"Subject: Re: film {number % 997}", "", *lines, "", "-- ", f"reader {number}"])
            longest = max(longest, len(body.split()))
            out.write(json.dumps({"body": body, "tenor": TENORS[tenor]}, ensure_ascii=False) + "\n")
    return longest


def timed_run(manifest: Path, *, state: Path) -> int:
    """Run the job; print each stage's seconds and the largest resident memory of its processes."""
    command = [str(Path(sys.executable).parent / "tuneloop"), "run", "-f", str(manifest), "--dir", str(state)]
    peaks: dict[str, int] = {}
    seconds: dict[str, float] = {}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks, seconds), daemon=True)
    watcher.start()
    assert process.stdout is not None
    for line in process.stdout:
        print("  ", line, end="", flush=True)
    code = process.wait()
    watcher.join()
    for stage, peak in peaks.items():
        print(f"{stage:<10}{seconds[stage] / 60:6.1f} min  peak {peak >> 20:6} MiB")
    log = next(iter(state.glob("claims/mails/jobs/*/logs/train.jsonl")), None)
    if log is not None:
        steps = [json.loads(line) for line in log.read_text().splitlines()]
        timed = [step for step in steps if step["kind"] == "step"]
        print(f"{len(timed)} steps, median {statistics.median(step['seconds'] for step in timed):.2f} s")
    return code


def _watch(parent: int, peaks: dict[str, int], seconds: dict[str, float]) -> None:
    """Sample the process tree until it is gone: one stage runs at a time; its command line names it."""
    last = time.monotonic()
    while psutil.pid_exists(parent) and psutil.Process(parent).status() != psutil.STATUS_ZOMBIE:
        now = time.monotonic()
        resident: dict[str, int] = {}
        for child in psutil.Process(parent).children(recursive=True):
            try:
                words = child.cmdline()
                stage = next((word for word in ("prepare", "export", "supervise", "train") if word in words), None)
                if stage is not None:
                    name = "train" if stage == "supervise" else stage
                    resident[name] = resident.get(name, 0) + child.memory_info().rss
            except psutil.Error:
                continue
        for name, amount in resident.items():
            peaks[name] = max(peaks.get(name, 0), amount)
            seconds[name] = seconds.get(name, 0.0) + now - last
        last = now
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
