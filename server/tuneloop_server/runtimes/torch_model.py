"""A model that torch runs: loaded from a checked artifact, token ids to logits or embeddings."""

from __future__ import annotations

import json
import logging
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig

from tuneloop_api.features.text_vectors import noting
from tuneloop_server.artifact import link_checked_model
from tuneloop_server.load_errors import cannot_load, require_numbers
from tuneloop_server.model import EmbeddingSupport
from tuneloop_server.runtimes.devices import device_of, place
from tuneloop_server.runtimes.embedding import embedding_support, embeddings_of
from tuneloop_server.runtimes.freed_memory import keep_freed_memory
from tuneloop_server.runtimes.mask_head import MaskHead
from tuneloop_server.runtimes.padding import padding_of
from tuneloop_server.runtimes.pair_tokenizer import tokenizer_of
from tuneloop_server.runtimes.projecting import Directions, no_vectors
from tuneloop_server.runtimes.threads import threads
from tuneloop_server.runtimes.tokenizer import load_tokenizer
from tuneloop_server.runtimes.unpadded_encoder import pads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.model import Embedding, Encoded, Logits, Output, Projected
    from tuneloop_server.runtimes.tokenizer import TextTokenizer
    from tuneloop_server.tasks.task import Task

UNREADABLE = (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError, SafetensorError, MemoryError)
"""What transformers raises for a model that it cannot read."""
_log = logging.getLogger(__name__)


class TorchModel:
    """A model that computes in float32, on the device where its weights are."""

    def __init__(
        self,
        model: transformers.PreTrainedModel,
        tokenizer: transformers.PreTrainedTokenizerFast,
        *,
        vocabulary: TextTokenizer,
    ) -> None:
        self.vocabulary = vocabulary
        self._model = model
        self._padding = padding_of(tokenizer)
        self.pads = self._padding.on_left or pads(model)
        self._directions: Directions | None = None
        self._masks = None if vocabulary.mask_id is None else MaskHead(model, mask_id=vocabulary.mask_id)

    def encode(self, texts: Sequence[str], *, stride: int | None = None) -> list[list[Encoded]]:
        """Return the windows of each text; safe from any thread. Raises RequestError: see `TextTokenizer.encode`."""
        return self.vocabulary.encode(texts, stride=stride)

    @cached_property
    def embeddings(self) -> EmbeddingSupport:
        """Whether the model makes embeddings. It is tried when it is asked for the first time."""
        if self.vocabulary.reads_pairs:
            return EmbeddingSupport(refusal="a model of questions and their contexts makes no embeddings of texts")
        ((window,),) = self.encode(["warm up"])
        with torch.inference_mode():
            return embedding_support(self._model, window.ids)

    @torch.inference_mode()
    def project(self, directions: Sequence[Sequence[float]]) -> str:
        """From now on return projections beside logits; return why the model cannot, or an empty string. Runs a pass over one text."""
        ((window,),) = self.encode(["warm up"])
        wanted = Directions.of(directions)
        _, vectors = self._with_vectors(self._padded([window]))
        if vectors is None:
            return no_vectors(f"{self._model.config.model_type} has no hidden state for each token")
        if not (refusal := wanted.refusal(vectors.shape[-1])):
            self._directions = wanted
        return refusal

    @torch.inference_mode()
    def predict(self, batch: Sequence[Encoded]) -> list[Output]:
        """Run a forward pass over the windows that want logits, and one over those that want an embedding."""
        outputs: dict[int, Output] = {}
        for compute, output in ((self._logits, "logits"), (self._embeddings, "embedding")):
            places = [place for place, window in enumerate(batch) if window.output == output]
            if places:
                outputs |= zip(places, compute([batch[place] for place in places]), strict=True)
        return [outputs[place] for place in range(len(batch))]

    def _embeddings(self, batch: Sequence[Encoded]) -> list[Embedding]:
        inputs = self._padded(batch)
        states = self._model.base_model(**inputs).last_hidden_state
        return list(embeddings_of(states, inputs["attention_mask"]).float().cpu().numpy())

    def _logits(self, batch: Sequence[Encoded]) -> Sequence[Logits | Projected]:
        """B windows, T tokens of the longest, C labels: ids [B, T] → logits [B, C] or [B, T, C], without padding; or those of the mask tokens."""
        inputs = self._padded(batch)
        if self._directions is None:
            logits, vectors = self._forward(inputs), None
        else:
            logits, vectors = self._with_vectors(inputs)
        found = self._by_window(logits.float().cpu().numpy(), batch)
        if (
            self._directions is None or vectors is None
        ):  # texts of this length may have other states than the one that was tried
            return found
        return self._directions.projected(found, vectors.float().cpu().numpy())

    def _with_vectors(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the logits and the vectors of a pass. Other passes are not noted: the body may be that of several models."""
        with noting(self._model) as last:
            return self._forward(inputs), last.vectors(inputs["attention_mask"])

    def _forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return head_values(self._model(**inputs)) if self._masks is None else self._masks.logits(inputs)

    def _by_window(self, logits: NDArray[np.float32], batch: Sequence[Encoded]) -> list[Logits]:
        if self._masks is None:
            return self._padding.without(logits, batch)
        masks = [sum(token == self.vocabulary.mask_id for token in window.ids) for window in batch]
        return np.split(logits, np.cumsum(masks)[:-1])

    def _padded(self, batch: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        device = self._model.device
        return {name: torch.from_numpy(array).to(device) for name, array in self._padding.padded(batch).items()}


def head_values(output: Any) -> torch.Tensor:
    """Return the logits of a model's output, with the labels in the last dimension: where it has an output for starts and another for ends, [B, T, 2]."""
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    logits: torch.Tensor = output.logits
    return logits


def load(config: ServerConfig, manifest: Manifest, task: Task[Any]) -> TorchModel:
    """Load the model of a checked artifact from safetensors, and run it once on one text and on a full batch.

    Raises CannotServe, naming what was found and what is expected.
    """
    prepare_torch()
    device = device_of(config.gpus)
    try:
        with tempfile.TemporaryDirectory(prefix="tuneloop-model-") as folder:
            link_checked_model(config, manifest, folder=Path(folder))
            model = _load_checked(Path(folder), manifest, task, device=device, max_windows=config.batching.max_queue)
        warm_up(model, batch_size=config.batching.max_batch_size)
    except UNREADABLE as error:
        raise cannot_load(f"{config.artifact_uri}: model/", error) from error
    return model


def prepare_torch() -> None:
    """Set how many threads compute and what becomes of freed memory, and keep transformers from writing to the log."""
    keep_freed_memory()
    torch.set_num_threads(threads(own=torch.get_num_threads()))
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def warm_up(model: TorchModel, *, batch_size: int) -> None:
    """Run a model once on one text and on a full batch, and try whether it makes embeddings. Raises ValueError if its outputs are no numbers."""
    for texts in (1, batch_size):
        require_numbers(
            model.predict(
                [
                    window
                    for windows in model.encode([f"warm up {model.vocabulary.mask_token}"] * texts)
                    for window in windows
                ]
            )
        )
    _log.info("embeddings: %s", model.embeddings.refusal or f"of {model.embeddings.size} numbers")


def _load_checked(
    folder: Path, manifest: Manifest, task: Task[Any], *, device: torch.device, max_windows: int
) -> TorchModel:
    model, absent = load_weights(folder, task)
    require_whole(absent)
    require_labels(model.config, manifest)
    tokenizer = load_tokenizer(folder)
    place(model.eval(), device)
    vocabulary = tokenizer_of(tokenizer, manifest, task, max_windows=max_windows)
    return TorchModel(model, tokenizer, vocabulary=vocabulary)


def load_weights(folder: Path, task: Task[Any], **options: Any) -> tuple[Any, list[str]]:
    """Return the model in a folder in float32, and the names of the weights that the files lack or have in another shape. options: for transformers."""
    _check_index(folder / "model.safetensors.index.json")
    auto_class = getattr(transformers, task.auto_class)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    model, report = auto_class.from_pretrained(
        folder,
        config=config,
        attn_implementation=_attention(auto_class, config),
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        dtype=torch.float32,
        output_loading_info=True,
        **options,
    )
    return model, sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])


def require_whole(absent: Sequence[str]) -> None:
    """Raise ValueError if weights are absent."""
    if absent:
        raise ValueError(f"the weights lack {', '.join(absent[:5])}, or have them in another shape")


def require_labels(config: Any, manifest: Manifest) -> None:
    """Raise ValueError unless a configuration has the labels of the manifest, in its order. A model without labels has none in the manifest, and two in every configuration."""
    labels = [config.id2label[index] for index in range(config.num_labels)]
    if manifest.labels and labels != manifest.labels:
        raise ValueError(f"config.json has the labels {labels[:20]}, the manifest {manifest.labels[:20]}")


def _check_index(index: Path) -> None:
    """Refuse an index that names other files than safetensors: transformers would take another loader, whatever `use_safetensors` says."""
    if index.is_file():
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        if others := [name for name in names if not name.endswith(".safetensors")]:
            raise ValueError(f"{index.name} names {others[0]}, expected *.safetensors")


def _attention(auto_class: Any, config: Any) -> Literal["sdpa", "eager"]:
    """Return `sdpa` for a class that has it, else `eager`. The choice is never left to config.json, which may name code of a hub."""
    kind = auto_class._model_mapping.get(type(config), None)  # noqa: SLF001  (transformers has no public way)
    return "eager" if kind is not None and not kind._supports_sdpa else "sdpa"  # noqa: SLF001
