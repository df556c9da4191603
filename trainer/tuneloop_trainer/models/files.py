"""Which files a model consists of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_api.wire.canonical import digest_of
from tuneloop_trainer.durable import file_sha256
from tuneloop_trainer.errors import ModelAccessError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)
GENERATION_CONFIG = "generation_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
"""Where newer releases of transformers keep the chat template; earlier ones had it in tokenizer_config.json."""
MODEL_FILES = ("config.json", "model*.safetensors", WEIGHTS_INDEX, GENERATION_CONFIG, CHAT_TEMPLATE, *TOKENIZER_FILES)
"""Patterns of the files that are fetched of a model."""

_VOCABULARIES = frozenset(TOKENIZER_FILES) - {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}
_CHOICE = "fast_tokenizer_files"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_CONVERT = (
    "convert them once where you trust them: AutoModel.from_pretrained(OLD).save_pretrained(NEW) writes safetensors"
)


def check_files(names: Collection[str], *, uri: str) -> None:
    """Raise ModelAccessError unless configuration, tokenizer and safetensors weights are among the files, and no adapter is."""
    if "config.json" not in names:
        raise ModelAccessError(
            f"model.uri: {uri} has no config.json",
            hint="give the folder that save_pretrained wrote, in Hugging Face layout",
        )
    if ADAPTER in names:
        raise ModelAccessError(
            f"model.uri: {uri} has {ADAPTER} beside the model: transformers would load that adapter into the model, unseen",
            hint=f"remove {ADAPTER}, or give a folder in which the adapter is merged into the weights",
        )
    if WEIGHTS not in names and WEIGHTS_INDEX not in names:
        pickles = sorted(name for name in names if name.endswith(_PICKLES))
        if pickles:
            raise ModelAccessError(
                f"model.uri: {uri} has only pickled weights ({', '.join(pickles[:3])}), which can run code when they are loaded",
                hint=_CONVERT,
            )
        raise ModelAccessError(f"model.uri: {uri} has no weights: neither {WEIGHTS} nor {WEIGHTS_INDEX}")
    if _VOCABULARIES.isdisjoint(names):
        raise ModelAccessError(
            f"model.uri: {uri} has no tokenizer (tokenizer.json)",
            hint="save it beside the model: tokenizer.save_pretrained(FOLDER)",
        )


def indexed_weights(index: Path, *, uri: str) -> list[str]:
    """Return the names of the weight files in an index. Raises ModelAccessError if it cannot be read, or names files other than safetensors.

    For such a file transformers would take another loader, whatever `use_safetensors` says.
    """
    try:
        names = sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelAccessError(f"model.uri: {uri}: {index.name} cannot be read: {error}") from error
    if others := [name for name in names if not name.endswith(".safetensors")]:
        raise ModelAccessError(
            f"model.uri: {uri}: {index.name} names {others[0]}, which is no safetensors file", hint=_CONVERT
        )
    return names


def check_tokenizer_choice(folder: Path, *, uri: str) -> None:
    """Raise ModelAccessError if the tokenizer's settings name another file than tokenizer.json.

    transformers would read it in place of tokenizer.json: from another folder, or without a trace in the digest.
    """
    path = folder / "tokenizer_config.json"
    try:
        names = json.loads(path.read_bytes()).get(_CHOICE) or []
    except (OSError, ValueError, AttributeError):
        return  # there is no choice, or the file is damaged, which loading the tokenizer says
    if others := [name for name in names if name != "tokenizer.json"]:
        raise ModelAccessError(
            f"model.uri: {uri}: {path.name} names {others[0]} in {_CHOICE}; only tokenizer.json is read",
            hint=f"remove {_CHOICE} from {path.name}; the tokenizer to use must be tokenizer.json",
        )


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the tokenizer's files that are there, in fixed order."""
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def digest_of_files(files: list[Path]) -> str:
    """Return `sha256:…` over names, sizes and contents."""
    return "sha256:" + digest_of([[path.name, path.stat().st_size, file_sha256(path)] for path in files])
