"""Quality against the Hugging Face Trainer at equal settings: test accuracy over several seeds, paired by seed.

    python bench/quality_parity.py [--seeds 5] [--rows 4000] [--steps 125]

Same rows, same tokens, same batch size, steps, learning rate, schedule, weight decay and clipping; no choice is made on the test rows:
both are measured after the last step. Goal: the mean paired difference is at least -1 point.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from train_throughput import REVIEWS
from training_runs import hugging_face, interval, ours, prepare


def main() -> int:
    """Return 0."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--rows", type=int, default=10**6)
    options.add_argument("--steps", type=int, default=125)
    options.add_argument("--learning-rate", type=float, default=2e-4)
    given = options.parse_args()
    source = REVIEWS | {"limit": given.rows}
    differences, ours_all, theirs_all = [], [], []
    for seed in range(1, given.seeds + 1):
        training = {
            "maxSteps": given.steps,
            "globalBatchSize": 32,
            "microBatchSize": 16,
            "learningRate": given.learning_rate,
            "warmupRatio": 0.06,
            "evaluateEvery": {"steps": 10**6},
            "seed": seed,
        }
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            prepared = prepare(folder, source=source, training=training)
            mine = ours(
                folder,
                source=source,
                ranks=2,
                training=training,
                checkpoint={"everySteps": 10**6},
                output={"checkpoint": "last"},
            )
            peer = {
                "seed": seed,
                "steps": given.steps,
                "learning_rate": given.learning_rate,
                "warmup_steps": prepared["resolved"]["warmupSteps"],
                "batch": 32,
                "evaluate": True,
            }
            theirs = hugging_face(folder, prepared, ranks=1, options=peer)
        ours_all.append(mine.accuracy)
        theirs_all.append(theirs.accuracy)
        differences.append(mine.accuracy - theirs.accuracy)
        print(
            f"seed {seed}  tuneloop {mine.accuracy:.4f}  trainer {theirs.accuracy:.4f}  {differences[-1]:+.4f}",
            flush=True,
        )
    mean, low, high = interval(differences)
    print(f"\nmean  tuneloop {statistics.mean(ours_all):.4f}  trainer {statistics.mean(theirs_all):.4f}")
    print(
        f"paired difference {mean * 100:+.2f} points, 95 % interval [{low * 100:+.2f}, {high * 100:+.2f}] (goal: mean >= -1)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
