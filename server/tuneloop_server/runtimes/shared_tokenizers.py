"""Tokenizers of models that are served together. Adapters of one base model have the same one, and each takes 15 MiB: what is alike is loaded once."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from tuneloop_server.artifact import files_in
from tuneloop_server.runtimes.tokenizer import TextTokenizer, load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.artifact import Manifest

_OF_THE_MODEL = frozenset(["adapter_config.json", "config.json"])


class LoadedTokenizer(NamedTuple):
    """A tokenizer of transformers, and what makes windows of texts with it."""

    tokenizer: Any
    vocabulary: TextTokenizer


class SharedTokenizers:
    """Loads the tokenizers of checked artifacts."""

    def __init__(self, *, needs_offsets: bool, reads_masks: bool, max_windows: int) -> None:
        """reads_masks, max_windows: see `TextTokenizer`."""
        self._needs_offsets = needs_offsets
        self._reads_masks = reads_masks
        self._max_windows = max_windows
        self._loaded: dict[object, LoadedTokenizer] = {}

    def load(self, folder: Path, manifest: Manifest, *, name: str) -> LoadedTokenizer:
        """Return the tokenizer in a folder. name: the folder of the artifact whose files it holds. Raises what `load_tokenizer` raises."""
        files = frozenset((file.path.partition("/")[2], file.sha256) for file in files_in(manifest, name))
        key = (manifest.max_tokens, frozenset(file for file in files if _is_of_tokenizer(file[0])))
        if key not in self._loaded:
            tokenizer = load_tokenizer(folder)
            vocabulary = TextTokenizer(
                tokenizer,
                max_tokens=manifest.max_tokens,
                needs_offsets=self._needs_offsets,
                reads_masks=self._reads_masks,
                max_windows=self._max_windows,
            )
            self._loaded[key] = LoadedTokenizer(tokenizer, vocabulary)
        return self._loaded[key]


def _is_of_tokenizer(path: str) -> bool:
    return path not in _OF_THE_MODEL and PurePosixPath(path).suffix != ".safetensors"
