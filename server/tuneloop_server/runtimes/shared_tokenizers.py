"""Tokenizers of models that are served together. Adapters of one base model have the same one, and each takes 15 MiB: what is alike is loaded once."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from tuneloop_server.artifact import files_in
from tuneloop_server.runtimes.pair_tokenizer import tokenizer_of
from tuneloop_server.runtimes.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_server.runtimes.tokenizer import TextTokenizer
    from tuneloop_server.tasks.task import Task

_OF_THE_MODEL = frozenset(["adapter_config.json", "config.json"])


class LoadedTokenizer(NamedTuple):
    """A tokenizer of transformers, and what makes windows of texts with it."""

    tokenizer: Any
    vocabulary: TextTokenizer


class SharedTokenizers:
    """Loads the tokenizers of checked artifacts."""

    def __init__(self, *, task: Task[Any], max_windows: int) -> None:
        """max_windows: see `TextTokenizer`."""
        self._task = task
        self._max_windows = max_windows
        self._loaded: dict[object, LoadedTokenizer] = {}

    def load(self, folder: Path, manifest: Manifest, *, name: str) -> LoadedTokenizer:
        """Return the tokenizer in a folder. name: the folder of the artifact whose files it holds. Raises what `load_tokenizer` raises."""
        files = frozenset((file.path.partition("/")[2], file.sha256) for file in files_in(manifest, name))
        spans = manifest.answer_spans
        key = (
            manifest.max_tokens,
            spans and spans.doc_stride,
            frozenset(file for file in files if _is_of_tokenizer(file[0])),
        )
        if key not in self._loaded:
            tokenizer = load_tokenizer(folder)
            vocabulary = tokenizer_of(tokenizer, manifest, self._task, max_windows=self._max_windows)
            self._loaded[key] = LoadedTokenizer(tokenizer, vocabulary)
        return self._loaded[key]


def _is_of_tokenizer(path: str) -> bool:
    return path not in _OF_THE_MODEL and PurePosixPath(path).suffix != ".safetensors"
