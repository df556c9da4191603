"""A model that ONNX Runtime runs: loaded from `onnx/` of a checked artifact, token ids to logits.

The file holds a graph of ONNX's own operators and numbers, and no code: no library of further operators is registered. Beside it lie the tokenizer and the
configuration. The graph ends in the logits, so that it makes no embeddings.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime

from tuneloop_api.contract.artifact import ONNX_FOLDER, ONNX_FP32, ONNX_INT8
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.features.text_vectors import VECTOR
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_server.artifact import link_checked_model
from tuneloop_server.errors import CannotServe
from tuneloop_server.load_errors import cannot_load, require_numbers
from tuneloop_server.model import EmbeddingSupport
from tuneloop_server.runtimes.padding import padding_of
from tuneloop_server.runtimes.pair_tokenizer import tokenizer_of
from tuneloop_server.runtimes.projecting import Directions, no_vectors
from tuneloop_server.runtimes.threads import threads
from tuneloop_server.runtimes.tokenizer import TextTokenizer, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import transformers

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.model import Encoded, Output
    from tuneloop_server.tasks.task import Task

_LOGITS = "logits"
_ONLY_ERRORS = 3
_REFUSAL = EmbeddingSupport(
    refusal="this model makes no embeddings: the ONNX file gives logits alone; runtime.engine: torch makes them"
)
_FILES = {"fp32": ONNX_FP32, "int8": ONNX_INT8}
_ASK = {
    ONNX_FP32: "run the FineTuneJob under another name with output.formats: [safetensors, onnx], or serve with runtime.engine: torch",
    ONNX_INT8: "run the FineTuneJob under another name with output.formats: [safetensors, onnx-int8], or serve with runtime.dtype: fp32",
}
_log = logging.getLogger(__name__)


class OnnxModel:
    """A model on the CPU that computes in float32, or in int8 within its linear layers."""

    pads = True

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        tokenizer: transformers.PreTrainedTokenizerFast,
        *,
        vocabulary: TextTokenizer,
    ) -> None:
        self.vocabulary = vocabulary
        self.embeddings = _REFUSAL
        self._session = session
        self._names = {value.name for value in session.get_inputs()}
        self._padding = padding_of(tokenizer)
        self._directions: Directions | None = None
        self._wanted = [_LOGITS]

    def encode(self, texts: Sequence[str], *, stride: int | None = None) -> list[list[Encoded]]:
        """Return the windows of each text; safe from any thread. Raises RequestError: see `TextTokenizer.encode`."""
        return self.vocabulary.encode(texts, stride=stride)

    def project(self, directions: Sequence[Sequence[float]]) -> str:
        """From now on return projections beside logits; return why the model cannot, or an empty string."""
        sizes = {value.name: value.shape[-1] for value in self._session.get_outputs()}
        if VECTOR not in sizes:
            return no_vectors(f"the ONNX file has no output {VECTOR}")
        wanted = Directions.of(directions)
        if refusal := wanted.refusal(sizes[VECTOR]):
            return refusal
        self._directions, self._wanted = wanted, [_LOGITS, VECTOR]
        return ""

    def predict(self, batch: Sequence[Encoded]) -> list[Output]:
        """Run a forward pass: B windows, T tokens of the longest, C labels: ids [B, T] → logits [B, C] or [B, T, C], without padding."""
        inputs = {name: array for name, array in self._padding.padded(batch).items() if name in self._names}
        logits, *vectors = self._session.run(self._wanted, inputs)
        found = self._padding.without(logits, batch)
        return [*(found if self._directions is None else self._directions.projected(found, *vectors))]


def load(config: ServerConfig, manifest: Manifest, task: Task[Any]) -> OnnxModel:
    """Load the ONNX file of a checked artifact, and run it once on one text and on a full batch.

    Raises CannotServe, naming what was found and what is expected.
    """
    file = _file(config)
    _require(file, config, manifest)
    try:
        with tempfile.TemporaryDirectory(prefix="tuneloop-model-") as folder:
            link_checked_model(config, manifest, folder=Path(folder), name=ONNX_FOLDER)
            model = _load_checked(Path(folder), file, config, manifest, task)
        for texts in (1, config.batching.max_batch_size):
            require_numbers(
                model.predict([window for windows in model.encode(["warm up"] * texts) for window in windows])
            )
    except Exception as error:  # ONNX Runtime's errors have no class in common, and transformers raises many kinds
        raise cannot_load(f"{config.artifact_uri}: {ONNX_FOLDER}/{file}", error) from error
    _log.info("embeddings: %s", model.embeddings.refusal)
    return model


def _given_threads() -> int:
    """Return `OMP_NUM_THREADS`, which ONNX Runtime does not read; 0, its own choice, where it is no number."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else 0


def _file(config: ServerConfig) -> str:
    dtype = config.dtype or "fp32"
    if dtype not in _FILES:
        message = f"runtime.dtype: {dtype} is not known to this server, it knows {', '.join(_FILES)}"
        raise CannotServe(message, exit_code=ExitCode.CONFIG)
    return _FILES[dtype]


def _require(file: str, config: ServerConfig, manifest: Manifest) -> None:
    path = f"{ONNX_FOLDER}/{file}"
    if any(listed.path == path for listed in manifest.files):
        return
    found = manifest.onnx
    reasons = (found.refusal, found.int8.refusal if found.int8 and file == ONNX_INT8 else None) if found else ()
    why = next((f" (the job did not publish it: {reason})" for reason in reasons if reason), "")
    message = f"{config.artifact_uri}: has no {path}{why}, which runtime.engine: onnx needs; {_ASK[file]}"
    raise CannotServe(message, exit_code=ExitCode.MODEL_ACCESS, failure_class=ServingFailureClass.MODEL_LOAD_FAILED)


def _load_checked(folder: Path, file: str, config: ServerConfig, manifest: Manifest, task: Task[Any]) -> OnnxModel:
    named = json.loads((folder / "config.json").read_bytes())["id2label"]
    labels = [named.get(str(index)) for index in range(len(named))]
    if labels != manifest.labels:
        raise ValueError(f"config.json has the labels {labels[:20]}, the manifest {manifest.labels[:20]}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads(own=_given_threads())
    options.log_severity_level = _ONLY_ERRORS
    session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
    sizes = {value.name: value.shape[-1] for value in session.get_outputs()}
    if _LOGITS not in sizes or (sizes[_LOGITS] not in {len(labels), None} and isinstance(sizes[_LOGITS], int)):
        raise ValueError(f"its outputs are {sizes}, expected is {_LOGITS} with {len(labels)} numbers")
    tokenizer = load_tokenizer(folder)
    vocabulary = tokenizer_of(tokenizer, manifest, task, max_windows=config.batching.max_queue)
    return OnnxModel(session, tokenizer, vocabulary=vocabulary)
