"""A model that torch runs to generate text: loaded from a checked artifact in float32, and tried before it answers."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuneloop_api.contract.cgroup import free_memory
from tuneloop_server.artifact import link_checked_model
from tuneloop_server.load_errors import cannot_load, require_numbers
from tuneloop_server.runtimes.devices import device_of, place
from tuneloop_server.runtimes.generation_config import defaults_of, defaults_of_writer, ends_of, start_of
from tuneloop_server.runtimes.prompts import PromptTokenizer
from tuneloop_server.runtimes.row_positions import answer_positions
from tuneloop_server.runtimes.sources import SourceTokenizer
from tuneloop_server.runtimes.token_rules import TokenRulesOfModel
from tuneloop_server.runtimes.tokenizer import load_tokenizer
from tuneloop_server.runtimes.torch_decoder import TorchDecoder
from tuneloop_server.runtimes.torch_model import UNREADABLE, load_weights, prepare_torch, require_whole
from tuneloop_server.runtimes.torch_seq2seq_decoder import TorchSeq2SeqDecoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import transformers
    from numpy.typing import NDArray

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.generation.answer import Prompt, TokenMeaning
    from tuneloop_server.generation.model import Decoder
    from tuneloop_server.generation.settings import GenerationDefaults
    from tuneloop_server.tasks.task import Task

_CACHE_SHARE = 0.5
"""Of the memory that is free once the model is loaded: for keys and values. The rest is for passes over long prompts, and for the copies while rows join."""
TRIAL = ((3, 5, 4), (4, 3, 5, 4, 3, 3))
"""Tokens of two prompts of different lengths. Every vocabulary has them."""
TRIAL_TOKEN = 5
_ALIKE = 1e-3
"""Of the largest logit: what float32 rounds in passes of different shapes is a hundredth of it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What the files beside the weights say of how a model writes."""

    defaults: GenerationDefaults
    prompts: PromptTokenizer | SourceTokenizer


@dataclass(frozen=True, kw_only=True)
class TorchGenerator:
    """See `GeneratingModel`."""

    decoder: Decoder
    writing: Writing
    window: int
    most_tokens: int
    adapter: str | None = None
    """Whose answers these are; None: those of the model itself."""

    @property
    def defaults(self) -> GenerationDefaults:
        """How it is decoded where a client does not say."""
        return self.writing.defaults

    @property
    def unknown_ids(self) -> frozenset[int]:
        """See `Vocabulary`."""
        return self.writing.prompts.unknown_ids

    @property
    def meaning(self) -> TokenMeaning:
        """What tokens stand for."""
        return self.writing.prompts.meaning

    def prompt_of_text(self, text: str, *, field: str) -> Prompt:
        """See `PromptTokenizer.of_text`."""
        return replace(self.writing.prompts.of_text(text, field=field), adapter=self.adapter)

    def prompt_of_messages(self, messages: Sequence[Mapping[str, str]]) -> Prompt:
        """See `PromptTokenizer.of_messages`."""
        return replace(self.writing.prompts.of_messages(messages), adapter=self.adapter)


def load_generator(config: ServerConfig, manifest: Manifest, task: Task[Any]) -> TorchGenerator:
    """Load the model of a checked artifact from safetensors, and try whether answers may grow together. Raises CannotServe."""
    prepare_torch()
    device = device_of(config.gpus)
    try:
        with tempfile.TemporaryDirectory(prefix="tuneloop-model-") as temporary:
            folder = Path(temporary)
            link_checked_model(config, manifest, folder=folder)
            model, absent = load_weights(folder, task)
            require_whole(absent)
            place(model.eval(), device)
            make = _writer if model.config.is_encoder_decoder else _generator
            return make(model, load_tokenizer(folder), manifest)
    except UNREADABLE as error:
        raise cannot_load(f"{config.artifact_uri}: model/", error) from error


def _generator(model: Any, tokenizer: Any, manifest: Manifest) -> TorchGenerator:
    decoder = TorchDecoder(model)
    window, most_tokens = room_for_tokens(model, manifest, try_rows(model, decoder))
    config = model.generation_config
    writing = Writing(defaults=defaults_of(config), prompts=PromptTokenizer(tokenizer, ends=ends_of(config, tokenizer)))
    return TorchGenerator(decoder=decoder, writing=writing, window=window, most_tokens=most_tokens)


def room_for_tokens(model: Any, manifest: Manifest, bytes_per_token: int) -> tuple[int, int]:
    """Return the most tokens of a prompt with its answer, and those of all rows together."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or manifest.max_tokens
    most_tokens = _most_tokens(model, bytes_per_token)
    window = min(context, most_tokens)
    if window < context:
        _log.warning(
            "the context window is cut from %d to %d tokens: their keys and values take half of the free memory",
            context,
            window,
        )
    _log.info(
        "context window: %d tokens; all answers together: %d tokens of %d bytes", window, most_tokens, bytes_per_token
    )
    return window, most_tokens


def _writer(model: Any, tokenizer: Any, manifest: Manifest) -> TorchGenerator:
    """Return the generator of an encoder-decoder: an answer is a sequence of its own, and its source is cut as in training."""
    config = model.generation_config
    decoder = TorchSeq2SeqDecoder(model, start=start_of(config, model.config))
    bytes_per_token = try_sources(model, decoder)
    most_tokens = _most_tokens(model, bytes_per_token)
    positions = answer_positions(model)
    window = most_tokens - manifest.max_tokens
    if window < 1:
        raise ValueError(
            f"keys and values of a text of {manifest.max_tokens} tokens, {bytes_per_token} bytes each, do not fit into half of the free memory"
        )
    window = window if positions is None else min(positions, window)
    _log.info("answers: %d tokens; all together: %d tokens of %d bytes", window, most_tokens, bytes_per_token)
    ends = ends_of(config, tokenizer)
    rules = TokenRulesOfModel(config, ends=ends)
    try_rules(rules, start=decoder.start, logits=alone(model, TRIAL[0], [decoder.start]))
    prompts = SourceTokenizer(
        tokenizer,
        max_tokens=manifest.max_tokens,
        prefix=manifest.source_prefix or "",
        start=decoder.start,
        ends=ends,
        rules=rules,
    )
    return TorchGenerator(
        decoder=decoder,
        writing=Writing(defaults=defaults_of_writer(config), prompts=prompts),
        window=window,
        most_tokens=most_tokens,
    )


def _most_tokens(model: Any, bytes_per_token: int) -> int:
    return int(_CACHE_SHARE * _free_bytes(model.device)) // bytes_per_token


def try_rows(model: transformers.PreTrainedModel, decoder: TorchDecoder) -> int:
    """Return the bytes of the keys and values of a token.

    Raises ValueError unless two rows that grow together have the logits that each has in a pass of its own without a cache: an architecture may keep its
    state otherwise than as keys and values, or take no notice of padding.
    """
    try:
        decoder.add(TRIAL)
        found = decoder.step([TRIAL_TOKEN] * len(TRIAL))
        bytes_per_token = decoder.bytes_per_token
        expected = [alone(model, [*prompt, TRIAL_TOKEN]) for prompt in TRIAL]
    except Exception as error:  # an architecture's code raises what it likes
        raise ValueError(f"{refusal_of_rows(model)} ({type(error).__name__})") from error
    require_alike(model, found, expected)
    decoder.keep([])
    return bytes_per_token


def try_sources(model: transformers.PreTrainedModel, decoder: TorchSeq2SeqDecoder) -> int:
    """Return the bytes of the keys and values of a token, of an answer or a source. Raises ValueError as `try_rows` does: here the second answer joins a token later."""
    first, second = TRIAL
    try:
        decoder.add([first])
        decoder.step([TRIAL_TOKEN])
        decoder.add([second])
        found = decoder.step([TRIAL_TOKEN, TRIAL_TOKEN])
        bytes_per_token = decoder.bytes_per_token
        answers = [[decoder.start, TRIAL_TOKEN, TRIAL_TOKEN], [decoder.start, TRIAL_TOKEN]]
        expected = [alone(model, source, answer) for source, answer in zip(TRIAL, answers, strict=True)]
    except Exception as error:  # as above
        raise ValueError(f"{refusal_of_rows(model)} ({type(error).__name__})") from error
    require_alike(model, found, expected)
    decoder.keep([])
    return bytes_per_token


def try_rules(rules: TokenRulesOfModel, *, start: int, logits: NDArray[np.float32]) -> None:
    """Raise ValueError unless the rules of a model can be applied to its first token, which may be its last one as well. logits: [V]."""
    try:
        apply = rules(1)
        if apply is not None:
            apply([[start]], logits[None])
    except (
        Exception
    ) as error:  # as above: some look at their tokens at the first answer alone, on which all others would end
        found = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"generation_config.json: its rules do not fit a vocabulary of {len(logits)} tokens ({found})"
        ) from error


def require_alike(model: Any, found: NDArray[np.float32], expected: Sequence[NDArray[np.float32]]) -> None:
    """Raise ValueError unless rows that grew together have the logits of passes of their own, [B, V], and these are numbers."""
    require_numbers(expected)
    if any(
        np.abs(logits - own).max() > _ALIKE * np.abs(own).max() for logits, own in zip(found, expected, strict=True)
    ):
        raise ValueError(refusal_of_rows(model))


def refusal_of_rows(model: transformers.PreTrainedModel) -> str:
    """Return why answers of a model cannot grow together."""
    found = f"{model.config.model_type}: two answers that grow together are not what each would be alone"
    kind = "encoder-decoders" if model.config.is_encoder_decoder else "decoders"
    return f"{found}; allowed are {kind} that keep keys and values alone"


@torch.inference_mode()
def alone(model: Any, ids: Sequence[int], answer: Sequence[int] | None = None) -> NDArray[np.float32]:
    """Return the logits of the last token, [V], of a pass without a cache. answer: what the decoder reads, of a model that has an encoder."""
    inputs = {} if answer is None else {"decoder_input_ids": torch.tensor([answer], device=model.device)}
    logits = model(input_ids=torch.tensor([ids], device=model.device), **inputs, use_cache=False).logits
    return logits[0, -1].float().cpu().numpy()


def _free_bytes(device: torch.device) -> int:
    return free_memory() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]
