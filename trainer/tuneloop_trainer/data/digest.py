"""The name of a prepared data set: a hash of all that it depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.defaults import digest_of
from tuneloop_trainer.durable import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneloop_api.contract.run_config import Settings
    from tuneloop_trainer.data.collect import LocatedSource

FORMAT_VERSION = 2
"""Grows when the same inputs give other files."""


def dataset_digest(
    sources: Sequence[LocatedSource],
    *,
    settings: Settings,
    tokenizer_digest: str,
    limit: int | None,
    progress: Callable[[float], None],
) -> str:
    """Return the digest, 64 hex digits: format, contents of the source files, data settings, labels, tokenizer, model's limit."""
    paths = [file.path for source in sources for file in source.files]
    contents = {}
    for done, path in enumerate(paths, start=1):
        contents[path] = file_sha256(path)
        progress(done / len(paths))
    return digest_of(
        {
            "format": FORMAT_VERSION,
            "sources": [
                [source.pool, [[file.format, contents[file.path]] for file in source.files]] for source in sources
            ],
            "data": settings.data.to_wire(),
            "labels": settings.model.labels,
            "tokenizer": tokenizer_digest,
            "limit": limit,
        }
    )
