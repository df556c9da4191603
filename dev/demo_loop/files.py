"""The files of the story in its claim: rows to train on, rows that decide between two models, and the golden set. No text of them is in the traffic.

No text is in two files either, but for a small old domain: there golden rows are among the test rows. No model learns from either.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import TYPE_CHECKING

from demo_loop.domains import TEST, TRAIN, TRAINED_ROWS, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from demo_loop.domains import Row

TRAIN_FILE, VALIDATION_FILE, TEST_FILE, RECENT_FILE = "train.csv", "validation.csv", "test.csv", "recent.csv"
GOLDEN_FILE = "golden.jsonl"
GOLDEN_ROWS = 400
VALIDATION_ROWS = 200
"""Of the old domain's validation rows, which choose the checkpoint; the others are traffic."""
TEST_ROWS = 1500
"""On which a new model must not be worse than the old one. With 12 % of the answers different, the limit of the difference is 1.8 points away."""


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write texts and labels as CSV with the columns `text` and `label`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([row.text, row.label] for row in rows)


def story_rows(old: Mapping[str, list[Row]], new: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """Return the rows of each file from the splits of the two domains. Golden rows and rows to test on are of the old domain, recent rows of the new one."""
    return {
        TRAIN_FILE: old[TRAIN][: _trained(old)],
        VALIDATION_FILE: old[VALIDATION][:VALIDATION_ROWS],
        GOLDEN_FILE: old[TEST][:GOLDEN_ROWS],
        TEST_FILE: old[TEST][GOLDEN_ROWS:][:TEST_ROWS] if len(old[TEST]) >= GOLDEN_ROWS + TEST_ROWS else old[TEST],
        RECENT_FILE: new[TEST],
    }


def story_traffic(old: Mapping[str, list[Row]], new: Mapping[str, list[Row]]) -> tuple[list[Row], list[Row]]:
    """Return the rows that are sent, of the old and of the new domain: none that is in a file.

    Of the new domain each label comes as often. Two thirds of the tweets are positive, and a model that learns from them takes negative films for positive ones.
    """
    return (
        [*old[TRAIN][_trained(old) :], *old[VALIDATION][VALIDATION_ROWS:]],
        balanced([*new[TRAIN], *new[VALIDATION]]),
    )


def _trained(old: Mapping[str, list[Row]]) -> int:
    """Return how many rows the first model learns from: a small domain keeps two fifths as traffic."""
    return min(TRAINED_ROWS, len(old[TRAIN]) * 3 // 5)


def balanced(rows: Sequence[Row]) -> list[Row]:
    """Return the first rows of each label, in their order: as many as there are of the rarest label."""
    most = min(Counter(row.label for row in rows).values(), default=0)
    taken = Counter[str]()
    found = []
    for row in rows:
        if taken[row.label] < most:
            taken[row.label] += 1
            found.append(row)
    return found


def write_story(folder: Path, old: Mapping[str, list[Row]], new: Mapping[str, list[Row]]) -> None:
    """Write all files into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in story_rows(old, new).items():
        if name == GOLDEN_FILE:
            lines = [json.dumps({"inputs": row.text, "label": row.label}, ensure_ascii=False) for row in rows]
            (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        else:
            write_rows(rows, folder / name)
