"""Which split the files of a folder belong to, by their names, as `datasets` reads folders and repositories of its hub. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePath

_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""Words that stand for a split, in the name of a file or of a folder."""
_SHARD = re.compile(r"(?P<split>.+)-\d{5}-of-\d{5}(-[0-9a-f]+)?")
"""Name of a file that `push_to_hub` of `datasets` wrote."""


def split_of(path: PurePath) -> str | None:
    """Return the split that a file belongs to, by its name or else by that of the nearest folder; None if no name says it.

    path: of the file, relative to the source.
    """
    if shard := _SHARD.fullmatch(path.stem):
        return split_named(shard["split"])
    return next(filter(None, map(_split_in, (path.stem, *reversed(path.parent.parts)))), None)


def split_named(name: str) -> str:
    """Return the usual name of a split: `dev` is `validation`. Other names stay as they are."""
    return _WORDS.get(name.lower(), name)


def _split_in(name: str) -> str | None:
    """Return the split that a name speaks of; None if it speaks of none, or of several."""
    found = {_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _WORDS}
    return found.pop() if len(found) == 1 else None
