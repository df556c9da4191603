"""Finds the pre-trained model, and checks that it can be fine-tuned before any work is done on the data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tuneloop_api.objects import storage
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.uris import HUB_SCHEME, OBJECT_SCHEMES
from tuneloop_trainer.contained import lies_in, root_of
from tuneloop_trainer.errors import ConfigError, ModelAccessError
from tuneloop_trainer.failures import first_line
from tuneloop_trainer.locate import LFS_HINT, is_lfs_pointer, path_of_uri
from tuneloop_trainer.models.files import (
    WEIGHTS,
    WEIGHTS_INDEX,
    check_files,
    check_tokenizer_choice,
    digest_of_files,
    indexed_weights,
    tokenizer_files,
)
from tuneloop_trainer.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import Paths
    from tuneloop_api.contract.settings import ModelSettings
    from tuneloop_trainer.tasks.task import Task

_POSITIONS_AFTER_PADDING = frozenset(
    [
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "layoutlmv3",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "trocr",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    ]
)
"""Models whose first positions stand for padding: they read `pad_token_id + 1` tokens fewer than they have positions."""
_USUAL = {
    "AutoModelForSeq2SeqLM": "t5, bart, mbart or pegasus",
    "AutoModelForCausalLM": "gpt2, llama, qwen3, mistral or gemma",
}
"""Names of models that are often taken, by class of transformers, where they are not those of most tasks."""
_NO_LIMIT = 1_000_000_000
"""Tokenizers write a huge `model_max_length` where there is none."""

_SHORTEST = 8
"""Tokens of a text, the least that the method has to leave."""
Architecture = Literal["encoder", "decoder", "encoder-decoder"]


@dataclass(frozen=True, kw_only=True)
class PretrainedModel:
    """A model folder that was checked."""

    path: Path
    revision: str
    """Commit of a hub model, or `sha256:…` of configuration and weights."""
    model_type: str
    architecture: Architecture
    vocabulary: int
    """Rows of the embedding."""
    max_tokens: int | None
    """Longest input; None: no limit."""
    longest_target: int | None
    """Most tokens that a decoder can write; None: no limit, or there is no decoder."""
    tokenizer: Any
    """The fast tokenizer, with the chat template of the job; it reads special tokens in a text as text, where the task reads the text alone."""
    tokenizer_digest: str


def open_model(
    source: ModelSettings, *, task: Task, paths: Paths, is_awaited: bool = False, reserved: int = 0
) -> PretrainedModel:
    """Find and check the model. Raises ModelAccessError, or ConfigError for an address that cannot be read here.

    reserved: positions that the method takes for itself (`Method.reserves`); ConfigError if they leave none for a text.
    is_awaited: whether somebody sits and waits, so that a hub that is not reached is given up soon.
    """
    folder, revision = _located(source, paths=paths, is_awaited=is_awaited)
    _require_folder(folder, uri=source.uri)
    check_files({path.name for path in folder.iterdir()}, uri=source.uri)
    _check_places(folder, uri=source.uri)
    weights = _check_weights(folder, uri=source.uri)
    config = _load_config(folder, task=task, uri=source.uri)
    check_tokenizer_choice(folder, uri=source.uri)
    tokenizer = _load_tokenizer(folder, as_text=task.reads_text_alone, uri=source.uri)
    if source.chat_template is not None:
        tokenizer.chat_template = source.chat_template
    # CANINE hashes ids: it has no vocabulary, and takes every one
    vocabulary = getattr(config.get_text_config(), "vocab_size", len(tokenizer))
    if task.special_tokens_in_texts:
        _require_mask(tokenizer, vocabulary=vocabulary, uri=source.uri)
    return PretrainedModel(
        path=folder,
        revision=revision or digest_of_files([folder / "config.json", *weights]),
        model_type=config.model_type,
        architecture=_architecture(config),
        vocabulary=vocabulary,
        max_tokens=room_for_text(_longest_input(config, tokenizer=tokenizer), reserved=reserved),
        longest_target=_positions_of_decoder(config) if config.is_encoder_decoder else None,
        tokenizer=tokenizer,
        tokenizer_digest=_tokenizer_digest(folder, tokenizer, task=task),
    )


def _located(source: ModelSettings, *, paths: Paths, is_awaited: bool) -> tuple[Path, str | None]:
    """Return the folder of the model, and its commit if it is of the hub. Models from elsewhere are fetched into the claim."""
    cache = Path(paths.models)
    if source.uri.startswith(HUB_SCHEME):
        from tuneloop_trainer.models import hub  # noqa: PLC0415  (needed for hub models alone)

        tries = hub.FEW_TRIES if is_awaited else hub.ALL_TRIES
        return hub.fetch_model(source.uri, revision=source.revision or "main", cache=cache, tries=tries)
    if source.uri.startswith(OBJECT_SCHEMES):
        from tuneloop_trainer.models import bucket  # noqa: PLC0415  (needed for models in object storage alone)

        tries = storage.FEW_TRIES if is_awaited else storage.ALL_TRIES
        return bucket.fetch_model(source.uri, cache=cache, job=Path(paths.job_dir).name, tries=tries), None
    return path_of_uri(source.uri, claims=paths.claims, field="model.uri"), None


def _require_folder(folder: Path, *, uri: str) -> None:
    if not folder.is_dir():
        there = "is a file, a folder is needed" if folder.exists() else "does not exist"
        raise ModelAccessError(f"model.uri: {uri} {there}", hint="give the folder that holds config.json")


def _check_places(folder: Path, *, uri: str) -> None:
    """Raise ModelAccessError if a file of the model lies elsewhere: a link, or a name in the index, leads out of the folder."""
    index = folder / WEIGHTS_INDEX
    shards = indexed_weights(index, uri=uri) if index.is_file() else []
    for name in [*shards, *(path.name for path in folder.iterdir() if not path.is_dir())]:
        if not lies_in(folder / name, root_of(folder)):
            raise ModelAccessError(
                f"model.uri: {uri}: {name} lies outside of the folder",
                hint="copy the model's own files into one folder, without links",
            )


def _check_weights(folder: Path, *, uri: str) -> list[Path]:
    """Return the weight files. Raises ModelAccessError if a file is missing, cut off or a Git LFS pointer."""
    names = [WEIGHTS] if (folder / WEIGHTS).is_file() else indexed_weights(folder / WEIGHTS_INDEX, uri=uri)
    for name in names:
        if not (folder / name).is_file():
            raise ModelAccessError(f"model.uri: {uri} lacks {name}, which {WEIGHTS_INDEX} names")
        _check_whole(folder / name, uri=uri)
    return [folder / name for name in names]


def _check_whole(path: Path, *, uri: str) -> None:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415  (loads numpy's part only here)

    if is_lfs_pointer(path):
        raise ModelAccessError(f"model.uri: {uri}: {path.name} is a Git LFS pointer, not the weights", hint=LFS_HINT)
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelAccessError(
            f"model.uri: {uri}: {path.name} is damaged or cut off: {error}", hint="copy the model again"
        ) from error


def _load_config(folder: Path, *, task: Task, uri: str) -> Any:
    from transformers import AutoConfig  # noqa: PLC0415  (seconds)
    from transformers.models.auto import modeling_auto  # noqa: PLC0415

    try:
        model_type = json.loads((folder / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelAccessError(f"model.uri: {uri}: config.json cannot be read: {error}") from error
    if model_type not in getattr(modeling_auto, task.architectures):
        raise ModelAccessError(
            f"model.uri: {uri}: models of type {model_type!r} cannot be used for {task.name} ({task.auto_class})",
            hint=f"take for example a {_USUAL.get(task.auto_class, 'bert, roberta, modernbert, llama or qwen3')} model",
        )
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelAccessError(f"model.uri: {uri}: config.json cannot be used: {error}") from error


def _tokenizer_digest(folder: Path, tokenizer: Any, *, task: Task) -> str:
    """Return the digest of the tokenizer's files; where the task may use its chat template, with that."""
    files = digest_of_files(tokenizer_files(folder))
    return files if task.reads_text_alone else f"sha256:{digest_of([files, tokenizer.chat_template])}"


def _load_tokenizer(folder: Path, *, as_text: bool, uri: str) -> Any:
    try:
        tokenizer = load_tokenizer(folder, as_text=as_text)
    except Exception as error:  # the libraries raise anything for a damaged file, even bare Exception
        raise ModelAccessError(f"model.uri: {uri}: the tokenizer cannot be loaded: {first_line(error)}") from error
    if not tokenizer.is_fast:
        raise ModelAccessError(
            f"model.uri: {uri} has no fast tokenizer", hint="save one: it is the file tokenizer.json"
        )
    return tokenizer


def _require_mask(tokenizer: Any, *, vocabulary: int, uri: str) -> None:
    """Raise ModelAccessError if the mask token has no embedding. It stands in no row: nothing else would meet it before training."""
    if tokenizer.mask_token_id is not None and tokenizer.mask_token_id >= vocabulary:
        raise ModelAccessError(
            f"model.uri: {uri}: the mask token has the id {tokenizer.mask_token_id}, the model has {vocabulary} embeddings, from 0 on",
            hint="set mask_token in tokenizer_config.json to a token that the model knows, or add its embedding (resize_token_embeddings) and save the model",
        )


def room_for_text(longest: int | None, *, reserved: int) -> int | None:
    """Return the tokens of the longest text. Raises ConfigError if virtual tokens leave less than a text needs."""
    if longest is None:
        return None
    if longest - reserved < _SHORTEST:
        raise ConfigError(
            f"spec.method.virtualTokens: {reserved} leave {longest - reserved} of the {longest} tokens that the model can read, at least {_SHORTEST} are needed for a text",
            hint=f"set method.virtualTokens to at most {longest - _SHORTEST}",
        )
    return longest - reserved


def _architecture(config: Any) -> Architecture:
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as ENCODERS  # noqa: PLC0415

    if config.is_encoder_decoder:
        return "encoder-decoder"
    return "encoder" if config.model_type in ENCODERS else "decoder"


def _positions_of_decoder(config: Any) -> int | None:
    """Return how many tokens a decoder has positions for; None: any number."""
    return getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)


def _longest_input(config: Any, *, tokenizer: Any) -> int | None:
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    if positions is not None and positions > 0 and config.model_type in _POSITIONS_AFTER_PADDING:
        positions -= (text.pad_token_id or 0) + 1
    limits = [limit for limit in (positions, tokenizer.model_max_length) if limit is not None and 0 < limit < _NO_LIMIT]
    return int(min(limits)) if limits else None
