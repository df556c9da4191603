"""Rated texts of four domains, as labelled rows, divided once for training, traffic and measurement.

Rows lie in the claim folder that `dev/real_data.py` fills.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FILES = {
    "movies": "movie-reviews.csv",
    "amazon": "amazon-reviews.csv",
    "tweets": "tweets.csv",
    "editorials": "nyt-editorials.csv",
}
NEGATIVE, POSITIVE = "negative", "positive"
NEUTRAL_BELOW = 0.5
"""A mean rating nearer to 0 than this is neither; the demo's job leaves such rows out too (`labelRule.dropWithin`)."""
TRAIN, VALIDATION, TEST = "train", "validation", "test"
TRAINED_ROWS = 3000
"""Of the old domain's training split, which the first model of the story learns from at most."""
_BUCKETS = 1000
_VALIDATION_FROM, _TEST_FROM = 700, 800
"""Of 1000 buckets: 70 % train, 10 % validation, 20 % test."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A labelled text."""

    domain: str
    parent: str
    """What a split keeps together: the review or editorial of a sentence, or the row's own id where nothing is known of it."""
    text: str
    label: str


def read_domain(claim: Path, domain: str) -> list[Row]:
    """Return the rows of a domain with a clear rating, each text once, in the file's order."""
    with (claim / FILES[domain]).open(encoding="utf-8", newline="") as file:
        return labelled(csv.DictReader(file), domain=domain)


def labelled(records: Iterable[Mapping[str, str]], *, domain: str) -> list[Row]:
    """Return labelled rows of records with `id`, `rating` (-4 to 4), `sentence` and perhaps `parent`."""
    rows: dict[str, Row] = {}
    for record in records:
        rating = float(record["rating"])
        if abs(rating) < NEUTRAL_BELOW:
            continue
        rows.setdefault(
            " ".join(record["sentence"].split()).casefold(),
            Row(
                domain=domain,
                parent=record.get("parent") or record["id"],
                text=record["sentence"],
                label=POSITIVE if rating > 0 else NEGATIVE,
            ),
        )
    return list(rows.values())


def divided(rows: Iterable[Row], *, seed: int) -> dict[str, list[Row]]:
    """Return the rows of each split: about 70 % train, 10 % validation, 20 % test, with rows of a parent in the same one.

    Within a split the order is that of a hash as well, so that the first n rows are a random sample.
    """
    splits: dict[str, list[Row]] = {TRAIN: [], VALIDATION: [], TEST: []}
    for row in sorted(rows, key=lambda row: _hash(seed, row.domain, row.text)):
        bucket = _hash(seed, row.domain, row.parent) % _BUCKETS
        name = TRAIN if bucket < _VALIDATION_FROM else VALIDATION if bucket < _TEST_FROM else TEST
        splits[name].append(row)
    return splits


def _hash(seed: int, *parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join((str(seed), *parts)).encode()).digest()[:8], "big")
