"""Sentences with any number of labels, which a tiny model can learn: each label shows in words of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = ["a", "the", "this", "is", "it", "so"]
TELLING = {"dull": "boring", "happy": "joy", "praise": "best"}
WORDS = 10
"""Of each sentence, so that its length tells nothing."""


def labelled_sentences(count: int, *, seed: int = 3) -> list[tuple[str, list[str]]]:
    """Return sentences and their labels; a label is there in one of three rows, and no two sentences are alike."""
    generator = np.random.default_rng(seed)
    rows: dict[str, list[str]] = {}
    while len(rows) < count:
        labels = [label for label in TELLING if generator.random() < 1 / 3]
        telling = 2 * [TELLING[label] for label in labels]
        words = [*telling, *generator.choice(PLAIN, WORDS - len(telling))]
        rows[" ".join(generator.permutation(words))] = labels
    return list(rows.items())


def write_json_lines(path: Path, rows: list[tuple[str, list[str]]]) -> Path:
    """Write the rows as the format text-labels reads them."""
    path.write_text("".join(json.dumps({"text": text, "label": labels}) + "\n" for text, labels in rows))
    return path
