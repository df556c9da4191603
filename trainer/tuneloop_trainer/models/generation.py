"""How a model writes texts: the settings that training measures with are those that are published with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_trainer.errors import ModelAccessError

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_trainer.tasks.task import Generation

_OF_SAMPLING = ("temperature", "top_k", "top_p", "typical_p", "min_p", "epsilon_cutoff", "eta_cutoff")


def set_generation(model: Any, generation: Generation, *, folder: Path) -> None:
    """Let the model take the likeliest tokens, by so many beams, up to the longest target. What else its files say stays, such as how a text begins.

    Raises ModelAccessError if the files do not say how a text begins.
    """
    config = model.generation_config
    for name in ("decoder_start_token_id", "pad_token_id", "eos_token_id"):
        if getattr(config, name) is None:
            setattr(config, name, getattr(model.config, name, None))
    if getattr(model.config, "decoder_start_token_id", None) is None:
        raise ModelAccessError(
            f"spec.model.uri: {folder}: config.json has no decoder_start_token_id, so that nobody knows how a text begins",
            hint="set it to the id of the token that the model's texts begin with; for T5 it is that of pad_token, 0",
        )
    config.do_sample, config.num_beams, config.use_cache = False, generation.num_beams, True
    config.max_new_tokens, config.max_length = generation.max_tokens, None
    for name in _OF_SAMPLING:
        setattr(config, name, None)


def end_texts_at(config: Any, token: int | None) -> None:
    """Let texts end with this token, too: with that of the tokenizer, with which the learned rows end. Base models often know another one. config: `generation_config`."""
    found = config.eos_token_id
    known = [] if found is None else found if isinstance(found, list) else [found]
    if token is not None and token not in known:
        config.eos_token_id = [*known, token] if known else token
