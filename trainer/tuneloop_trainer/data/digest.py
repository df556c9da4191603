"""The name of a prepared data set: a hash of all that the data set depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.canonical import digest_of
from tuneloop_trainer.durable import file_sha256
from tuneloop_trainer.tasks import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.collect import LocatedSource
    from tuneloop_trainer.data.steps.step import DataStep

FORMAT_VERSION = 3
"""Grows when the same inputs give other files: by another layout, another way to read rows, or another encoding of a task."""
GROUPS_VERSION = 1
"""Of the column `groups`, which data sets with `groupBy` have since release 0.2.0."""
_READING = ("format", "validate_rows", "max_tokens")
"""Fields of `data` that reading and cutting depend on. Those of the steps are named by the steps."""


def dataset_digest(
    sources: Sequence[LocatedSource],
    *,
    settings: Settings,
    steps: Sequence[DataStep],
    tokenizer_digest: str,
    limit: int | None,
    progress: Callable[[float], None],
) -> str:
    """Return the digest, 64 hex digits.

    limit: longest input of the model. Of settings only those that were set are part of it: a new field with a default changes no digest.
    """
    paths = [file.path for source in sources for file in source.files]
    contents = {}
    for done, path in enumerate(paths, start=1):
        contents[path] = file_sha256(path)
        progress(done / len(paths))
    return digest_of(
        {
            "format": FORMAT_VERSION,
            "task": settings.task,
            "sources": [_source(source, contents=[contents[file.path] for file in source.files]) for source in sources],
            "reading": settings.data.non_defaults(*_READING),
            "tags": settings.task_options.non_defaults(),
            "labels": settings.model.labels,
            "steps": [[step.name, step.version, step.settings(settings)] for step in steps],
            "tokenizer": tokenizer_digest,
            "limit": limit,
            **({"blocks": blocks.VERSION} if blocks.reads_in_blocks(settings) else {}),
            **({"groups": GROUPS_VERSION} if settings.data.split.group_by else {}),
        }
    )


def _source(source: LocatedSource, *, contents: list[str]) -> dict[str, Any]:
    files = [[file.format, sha256] for file, sha256 in zip(source.files, contents, strict=True)]
    settings = source.settings.non_defaults()
    for name in ("cutoff", "window"):  # a later cutoff without a later row is the same data
        settings.pop(name, None)
    return {"split": source.split, "settings": settings, "files": files}
