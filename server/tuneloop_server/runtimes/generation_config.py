"""What `generation_config.json` of a model says, in the words of `tuneloop_server.generation`. What this server does not know is named in the log: answers then differ from those of transformers."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tuneloop_server.generation.beam_search import Beams
from tuneloop_server.generation.sampling import Sampling
from tuneloop_server.generation.settings import GenerationDefaults
from tuneloop_server.runtimes.token_rules import RULES

if TYPE_CHECKING:
    import transformers

_HONOURED = frozenset(
    ["do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "max_new_tokens", "max_length", "eos_token_id", "bos_token_id", "pad_token_id",
     "decoder_start_token_id", "use_cache", "transformers_version"]
)  # fmt: skip
_HONOURED_OF_WRITER = _HONOURED | RULES | {"num_beams", "length_penalty", "early_stopping"}
_log = logging.getLogger(__name__)


def ends_of(config: transformers.GenerationConfig, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: those of generation_config.json, or that of the tokenizer."""
    ends = tokenizer.eos_token_id if config.eos_token_id is None else config.eos_token_id
    return frozenset([] if ends is None else ends if isinstance(ends, list) else [ends])


def start_of(config: transformers.GenerationConfig, of_model: Any) -> int:
    """Return the token that the decoder of an encoder-decoder reads first. Raises ValueError if nothing says it."""
    found = next(
        (
            token
            for token in (
                config.decoder_start_token_id,
                getattr(of_model, "decoder_start_token_id", None),
                config.bos_token_id,
            )
            if token is not None
        ),
        None,
    )
    if found is None:
        raise ValueError("generation_config.json has no decoder_start_token_id, expected the id of a token, such as 0")
    return int(found)


def defaults_of(config: transformers.GenerationConfig, *, honoured: frozenset[str] = _HONOURED) -> GenerationDefaults:
    """Return what the file of a decoder says. honoured: what the server knows of it."""
    _name_others(config, honoured)
    temperature = 1.0 if config.temperature is None else config.temperature
    sampling = Sampling(
        temperature=temperature if config.do_sample else 0.0,
        top_k=config.top_k or 0 if config.do_sample else 0,
        top_p=config.top_p or 1.0 if config.do_sample else 1.0,
        repetition_penalty=config.repetition_penalty or 1.0,
    )
    return GenerationDefaults(sampling=sampling, max_new_tokens=config.max_new_tokens)


def defaults_of_writer(config: transformers.GenerationConfig) -> GenerationDefaults:
    """Return what the file of an encoder-decoder says. Its `max_length` counts the first token of the decoder."""
    of_decoder = defaults_of(config, honoured=_HONOURED_OF_WRITER)
    most = config.max_new_tokens or (config.max_length - 1 if config.max_length else None)
    penalty = 1.0 if config.length_penalty is None else config.length_penalty
    beams = Beams(count=config.num_beams or 1, length_penalty=penalty, early_stopping=config.early_stopping or False)
    return replace(of_decoder, max_new_tokens=most, beams=beams)


def _name_others(config: transformers.GenerationConfig, honoured: frozenset[str]) -> None:
    if others := sorted(name for name in config.to_diff_dict() if name not in honoured and not name.startswith("_")):
        _log.warning("generation_config.json: %s: not known to this server, and without effect", ", ".join(others))
