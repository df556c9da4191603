"""Sentences with a number, which a tiny model can learn: each telling word adds to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = ["a", "the", "this", "is", "it", "so"]
TELLING = {"boring": -30.0, "joy": 20.0, "best": 40.0}
BASE = 1000.0
WORDS = 10
"""Of each sentence, so that its length tells nothing."""


def numbered_sentences(count: int, *, seed: int = 3) -> list[tuple[str, float]]:
    """Return sentences and their numbers, some 1,000 with a standard deviation of some 30; no two sentences are alike."""
    generator = np.random.default_rng(seed)
    rows: dict[str, float] = {}
    while len(rows) < count:
        telling = [word for word in TELLING if generator.random() < 1 / 2]
        words = [*telling, *telling, *generator.choice(PLAIN, WORDS - 2 * len(telling))]
        noise = float(np.round(generator.normal(), 3))
        rows[" ".join(generator.permutation(words))] = BASE + sum(TELLING[word] for word in telling) + noise
    return list(rows.items())


def write_json_lines(path: Path, rows: list[tuple[str, float]]) -> Path:
    """Write the rows as the format text-score reads them."""
    path.write_text("".join(json.dumps({"text": text, "label": number}) + "\n" for text, number in rows))
    return path
