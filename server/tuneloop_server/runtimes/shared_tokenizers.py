"""Tokenizers of models that are served together. Adapters of one base model have the same one, and each takes 15 MiB: what is alike is loaded once."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from tuneloop_server.artifact import files_in
from tuneloop_server.runtimes.pair_tokenizer import tokenizer_of
from tuneloop_server.runtimes.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_server.runtimes.tokenizer import TextTokenizer
    from tuneloop_server.tasks.task import Task

T = TypeVar("T")
_CONFIG = "config.json"
_OF_THE_MODEL = frozenset(["adapter_config.json", _CONFIG])


class LoadedTokenizer(NamedTuple):
    """A tokenizer of transformers, and what makes windows of texts with it."""

    tokenizer: Any
    vocabulary: TextTokenizer


def load_vocabulary(folder: Path, manifest: Manifest, *, task: Task[Any], max_windows: int) -> LoadedTokenizer:
    """Return the tokenizer in a folder. max_windows: see `TextTokenizer`. Raises what `load_tokenizer` raises."""
    tokenizer = load_tokenizer(folder)
    return LoadedTokenizer(tokenizer, tokenizer_of(tokenizer, manifest, task, max_windows=max_windows))


class SharedTokenizers(Generic[T]):
    """Loads the tokenizers of checked artifacts."""

    def __init__(self, load: Callable[[Path, Manifest], T], *, reads_config: bool = False) -> None:
        """load: what the task needs of a folder with the files of a tokenizer. reads_config: of `config.json`, too."""
        self._load = load
        self._left_out = _OF_THE_MODEL - {_CONFIG} if reads_config else _OF_THE_MODEL
        self._loaded: dict[object, T] = {}

    def load(self, folder: Path, manifest: Manifest, *, name: str) -> T:
        """Return the tokenizer in a folder. name: the folder of the artifact whose files it holds. Raises what loading it raises."""
        files = frozenset((file.path.partition("/")[2], file.sha256) for file in files_in(manifest, name))
        spans = manifest.answer_spans
        key = (
            manifest.max_tokens,
            spans and spans.doc_stride,
            frozenset(file for file in files if self._is_read(file[0])),
        )
        if key not in self._loaded:
            self._loaded[key] = self._load(folder, manifest)
        return self._loaded[key]

    def _is_read(self, path: str) -> bool:
        return path not in self._left_out and PurePosixPath(path).suffix != ".safetensors"
