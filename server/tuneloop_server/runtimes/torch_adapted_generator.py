"""LoRA adapters on one base model that generates: answers of several adapters grow in one batch, and each row computes with its own.

A pass reads the base model's weights once for all rows; PEFT adds the low-rank part of each adapter to its rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoConfig, GenerationConfig

from tuneloop_server.runtimes.adapted_base import OWN, Switch, load_adapted_base, read_as
from tuneloop_server.runtimes.devices import device_of, place
from tuneloop_server.runtimes.generation_config import defaults_of, ends_of
from tuneloop_server.runtimes.prompts import PromptTokenizer
from tuneloop_server.runtimes.shared_tokenizers import SharedTokenizers
from tuneloop_server.runtimes.tokenizer import load_tokenizer
from tuneloop_server.runtimes.torch_decoder import TorchDecoder
from tuneloop_server.runtimes.torch_generator import (
    TRIAL,
    TRIAL_TOKEN,
    TorchGenerator,
    Writing,
    alone,
    refusal_of_rows,
    require_alike,
    room_for_tokens,
)
from tuneloop_server.runtimes.torch_model import prepare_torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from peft import PeftModel

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.adapters import Adapters
    from tuneloop_server.tasks.task import Task

_BASE_ROW = "__base__"
"""PEFT's word for a row without an adapter, in a pass of several."""


class RowSwitch:
    """Says which adapter computes each row of the next pass."""

    def __init__(self, model: PeftModel, slots: Mapping[str | None, str]) -> None:
        """slots: names of adapters in PEFT by the names that clients use; None stands for the base model."""
        self._switch = Switch(model)
        self._slots: dict[str | None, str] = {**slots, None: OWN}
        self._rows: list[str] | None = None
        for module in model.modules():
            if isinstance(module, BaseTunerLayer):
                module.register_forward_pre_hook(self._with_rows, with_kwargs=True)

    def to(self, adapters: Sequence[str | None]) -> None:
        """Let these adapters compute. adapters: of each row. Rows of one adapter take PEFT's usual way, which gathers none."""
        slots = [self._slots[adapter] for adapter in adapters]
        first = next((slot for slot in slots if slot != OWN), OWN)
        self._switch.to(first)
        self._rows = None if set(slots) <= {first} else [_BASE_ROW if slot == OWN else slot for slot in slots]

    def _with_rows(self, _: Any, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, named if self._rows is None else named | {"adapter_names": self._rows}


class AdaptedDecoder(TorchDecoder):
    """The rows of a batch, each with its adapter."""

    def __init__(self, model: PeftModel, switch: RowSwitch) -> None:
        super().__init__(model.get_base_model())
        self._switch = switch
        self._adapters: list[str | None] = []

    def add(self, prompts: Sequence[Sequence[int]], adapters: Sequence[str | None] = ()) -> NDArray[np.float32]:
        """See `TorchDecoder.add`. adapters: of each prompt; empty: all rows are the base model's own."""
        joining = list(adapters) or [None] * len(prompts)
        self._switch.to(joining)
        logits = super().add(prompts)
        self._adapters += joining
        return logits

    def step(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """See `TorchDecoder.step`."""
        self._switch.to(self._adapters)
        return super().step(tokens)

    def keep(self, rows: Sequence[int]) -> None:
        """See `TorchDecoder.keep`."""
        super().keep(rows)
        self._adapters = [self._adapters[row] for row in rows]


def load_adapted_generators(
    config: ServerConfig, manifest: Manifest, adapters: Adapters, task: Task[Any]
) -> Mapping[str | None, TorchGenerator]:
    """Load a checked base model and its checked adapters from safetensors, and try whether their answers may grow together.

    Returns a model for each adapter by its name, and for None the base model's own, if it is an artifact; they share one decoder. Raises CannotServe.
    """
    prepare_torch()
    device = device_of(config.gpus)
    tokenizers = SharedTokenizers(_load_writing, reads_config=True)  # ends of answers may stand there
    base = load_adapted_base(config, manifest, adapters, task, tokenizers=tokenizers)
    model = base.model.get_base_model()
    place(model, device)
    switch = RowSwitch(base.model, {part.name: part.slot for part in base.parts})
    decoder = AdaptedDecoder(base.model, switch)
    with read_as(f"{config.artifact_uri}: the base model and its adapters"):
        bytes_per_token = try_adapters(model, decoder, switch, [part.name for part in base.parts])
        window, most_tokens = room_for_tokens(model, manifest, bytes_per_token)
    return {
        part.name: TorchGenerator(
            decoder=decoder, writing=part.tokenizer, window=window, most_tokens=most_tokens, adapter=part.name
        )
        for part in base.parts
    }


def try_adapters(model: Any, decoder: AdaptedDecoder, switch: RowSwitch, names: Sequence[str | None]) -> int:
    """Return the bytes of the keys and values of a token.

    Raises ValueError unless two rows of each adapter that grow together have the logits that each has in a pass of its own without a cache.
    """
    rows = [(name, prompt) for name in names for prompt in TRIAL]
    try:
        decoder.add([prompt for _, prompt in rows], [name for name, _ in rows])
        found = decoder.step([TRIAL_TOKEN] * len(rows))
        bytes_per_token = decoder.bytes_per_token
        expected = []
        for name, prompt in rows:
            switch.to([name])
            expected.append(alone(model, [*prompt, TRIAL_TOKEN]))
    except Exception as error:  # an architecture's code raises what it likes
        raise ValueError(f"{refusal_of_rows(model)} ({type(error).__name__})") from error
    require_alike(model, found, expected)
    decoder.keep([])
    return bytes_per_token


def _load_writing(folder: Path, _: Manifest) -> Writing:
    """Return how a model writes, by the files of an artifact. An adapter of an older release has no `generation_config.json`."""
    tokenizer = load_tokenizer(folder)
    if (folder / "generation_config.json").is_file():
        config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    else:
        own = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        config = GenerationConfig.from_model_config(own)
    return Writing(defaults=defaults_of(config), prompts=PromptTokenizer(tokenizer, ends=ends_of(config, tokenizer)))
