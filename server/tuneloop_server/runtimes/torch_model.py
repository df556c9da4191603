"""The loaded model: texts to token ids, token ids to predictions. The only file that imports torch."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.artifact import link_checked_model
from tuneloop_server.errors import CannotServe
from tuneloop_server.predictions import Encoded, Prediction
from tuneloop_server.runtimes.packed_linear import pack_linears

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig

_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""What `resources.limits.cpu` becomes inside the container (cgroup v2)."""


class TorchClassifier:
    """A sequence classifier on the CPU, in the precision of its weights' float32 values."""

    def __init__(
        self, model: torch.nn.Module, tokenizer: transformers.PreTrainedTokenizerFast, *, manifest: Manifest
    ) -> None:
        self._model = model
        self._temperature = manifest.temperature
        self._pad = {
            "input_ids": tokenizer.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": tokenizer.pad_token_type_id,
        }
        self._pad_left = tokenizer.padding_side == "left"
        self._inputs = [name for name in self._pad if name in (*tokenizer.model_input_names, "attention_mask")]
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.enable_truncation(manifest.max_tokens, direction=tokenizer.truncation_side)
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokenize as `tokenizer(texts, truncation=True, max_length=manifest.max_tokens)` does; safe from any thread."""
        return [
            Encoded(ids=text.ids, truncated=bool(text.overflowing))
            for text in self._tokenizer.encode_batch_fast(list(texts))
        ]

    @torch.inference_mode()
    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        """Run one forward pass. B texts, T tokens of the longest, C labels: ids [B, T] → logits [B, C]."""
        logits_BC = self._model(**self._padded(batch)).logits.float()  # noqa: N806  (shape suffix)
        calibrated_B = (logits_BC / self._temperature).softmax(-1).amax(-1)  # noqa: N806  (shape suffix)
        rows = zip(batch, logits_BC.tolist(), logits_BC.softmax(-1).tolist(), calibrated_B.tolist(), strict=True)
        return [
            Prediction(
                logits=logits,
                probabilities=probabilities,
                calibrated_confidence=confidence,
                tokens=len(text.ids),
                truncated=text.truncated,
            )
            for text, logits, probabilities, confidence in rows
        ]

    def _padded(self, batch: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        longest = max(len(text.ids) for text in batch)
        filled = {"input_ids": [text.ids for text in batch]}
        filled["attention_mask"] = [[1] * len(text.ids) for text in batch]
        filled["token_type_ids"] = [[0] * len(text.ids) for text in batch]
        return {
            name: torch.tensor([self._stretch(row, longest, self._pad[name]) for row in filled[name]])
            for name in self._inputs
        }

    def _stretch(self, row: list[int], length: int, pad: int) -> list[int]:
        padding = [pad] * (length - len(row))
        return padding + row if self._pad_left else row + padding


def load(config: ServerConfig, manifest: Manifest) -> TorchClassifier:
    """Load the model of a checked artifact from safetensors, and run it once on one text and on a full batch.

    Raises CannotServe, naming what was found and what is expected.
    """
    torch.set_num_threads(_threads())
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        with tempfile.TemporaryDirectory(prefix="tuneloop-model-") as folder:
            link_checked_model(config, manifest, folder=Path(folder))
            classifier = _load_checked(Path(folder), manifest)
    except (
        OSError,
        ValueError,
        KeyError,
        ImportError,
        RuntimeError,
    ) as error:  # what transformers raises on a model it cannot read
        logging.getLogger(__name__).debug("loading failed", exc_info=True)
        reason = " ".join(str(error).split())[:300]
        message = f"{config.artifact_uri}: model/ cannot be loaded: {reason}"
        raise CannotServe(message, exit_code=ExitCode.MODEL_ACCESS) from error
    for texts in (1, config.batching.max_batch_size):
        classifier.predict(classifier.encode(["warm up"] * texts))
    return classifier


def _load_checked(folder: Path, manifest: Manifest) -> TorchClassifier:
    model, report = AutoModelForSequenceClassification.from_pretrained(
        folder,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    absent = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if absent:
        raise ValueError(f"the weights lack {', '.join(absent[:5])}, or have them in another shape")
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    if labels != manifest.labels:
        raise ValueError(f"config.json has the labels {labels[:20]}, the manifest {manifest.labels[:20]}")
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, use_fast=True)
    if not tokenizer.is_fast:
        raise ValueError("its tokenizer has no tokenizer.json (fast tokenizer), which is needed")
    pack_linears(model.eval())
    return TorchClassifier(model, tokenizer, manifest=manifest)


def _threads() -> int:
    """Return the threads for torch, which by itself counts the machine's cores and knows nothing of a container's limit."""
    if "OMP_NUM_THREADS" in os.environ:
        return torch.get_num_threads()
    limit = _CPU_LIMIT.read_text(encoding="ascii") if _CPU_LIMIT.exists() else "max 100000"
    return cores_within(limit, cores=len(os.sched_getaffinity(0)))


def cores_within(limit: str, *, cores: int) -> int:
    """Return how many cores can be kept busy under a limit, rounded up: more threads would be throttled most of the time.

    limit: `QUOTA PERIOD` in microseconds, or `max PERIOD` (cgroup v2, cpu.max). cores: those that the process may run on.
    """
    quota, period = limit.split()
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))
