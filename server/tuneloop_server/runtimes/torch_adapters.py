"""LoRA adapters on one base model that predicts: each adapter adds its own small weights and its own head.

A forward pass is that of one adapter: PEFT can mix adapters in a batch, but only where a head is a single linear layer. A pooler or the head of RoBERTa is none.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from tuneloop_server.model import of_adapter
from tuneloop_server.runtimes.adapted_base import Switch, load_adapted_base, read_as
from tuneloop_server.runtimes.devices import device_of, place
from tuneloop_server.runtimes.shared_tokenizers import SharedTokenizers, load_vocabulary
from tuneloop_server.runtimes.torch_model import TorchModel, prepare_torch, warm_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import transformers

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.adapters import Adapters
    from tuneloop_server.model import EmbeddingSupport, Encoded, Output
    from tuneloop_server.runtimes.tokenizer import TextTokenizer
    from tuneloop_server.tasks.task import Task


class AdaptedModel(TorchModel):
    """One adapter, or the base model's own head, of a base model that several share."""

    def __init__(
        self,
        model: transformers.PreTrainedModel,
        tokenizer: transformers.PreTrainedTokenizerFast,
        *,
        vocabulary: TextTokenizer,
        name: str | None,
        slot: str,
        switch: Switch,
    ) -> None:
        """name: by which clients ask for it; None: the base model itself. slot: its name in PEFT."""
        super().__init__(model, tokenizer, vocabulary=vocabulary)
        self._name, self._slot, self._switch = name, slot, switch
        self.all: Mapping[str | None, AdaptedModel] = {name: self}
        """The models on the base model by their names, this one included."""

    def encode(self, texts: Sequence[str], *, stride: int | None = None) -> list[list[Encoded]]:
        """Return the windows of each text; safe from any thread. Raises RequestError: see `TextTokenizer.encode`."""
        return [of_adapter(windows, self._name) for windows in super().encode(texts, stride=stride)]

    @cached_property
    def embeddings(self) -> EmbeddingSupport:
        """Whether the model makes embeddings. It is tried when it is asked for the first time."""
        self._switch.to(self._slot)
        return super().embeddings

    def project(self, directions: Sequence[Sequence[float]]) -> str:
        """See `TorchModel.project`; the pass is this model's own."""
        self._switch.to(self._slot)
        return super().project(directions)

    def predict(self, batch: Sequence[Encoded]) -> list[Output]:
        """Run the passes of each adapter that has windows in the batch."""
        outputs: dict[int, Output] = {}
        for name in dict.fromkeys(window.adapter for window in batch):
            places = [place for place, window in enumerate(batch) if window.adapter == name]
            outputs |= zip(places, self.all[name].compute([batch[place] for place in places]), strict=True)
        return [outputs[place] for place in range(len(batch))]

    def compute(self, batch: Sequence[Encoded]) -> list[Output]:
        """Run the passes of this model's own windows."""
        self._switch.to(self._slot)
        return super().predict(batch)


def load_adapters(
    config: ServerConfig, manifest: Manifest, adapters: Adapters, task: Task[Any]
) -> Mapping[str | None, AdaptedModel]:
    """Load a checked base model and its checked adapters from safetensors, and run each once on one text and on a full batch.

    Raises CannotServe, naming what was found and what is expected.
    """
    prepare_torch()
    device = device_of(config.gpus)
    tokenizers = SharedTokenizers(partial(load_vocabulary, task=task, max_windows=config.batching.max_queue))
    base = load_adapted_base(config, manifest, adapters, task, tokenizers=tokenizers)
    place(base.model.get_base_model(), device)
    switch = Switch(base.model)
    views = {
        part.name: AdaptedModel(
            base.model.get_base_model(),
            part.tokenizer.tokenizer,
            vocabulary=part.tokenizer.vocabulary,
            name=part.name,
            slot=part.slot,
            switch=switch,
        )
        for part in base.parts
    }
    for part in base.parts:
        views[part.name].all = views
        with read_as(part.where):
            warm_up(views[part.name], batch_size=config.batching.max_batch_size)
    return views
