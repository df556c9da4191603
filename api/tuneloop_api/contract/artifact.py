"""The published artifact: `manifest.json` beside `model/` (Hugging Face layout), `adapter/`, `onnx/`, `monitoring.json`, `README.md`.

The artifact's digest is the SHA-256 of the canonical manifest, and the manifest holds the SHA-256 of every file. So a check of the digest
and of each file covers the whole artifact. The digest finds damage and mix-ups; it is no signature.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr

from tuneloop_api.contract.results import Measured
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.model import MessageModel

MANIFEST = "manifest.json"
MODEL_FOLDER, ADAPTER_FOLDER = "model", "adapter"
ONNX_FOLDER = "onnx"
"""Holds the ONNX files, and beside them the tokenizer and the configuration: nothing else is needed to run them."""
ONNX_FP32, ONNX_INT8 = "model.onnx", "model_int8.onnx"
ONNX_MOST_BYTES = 2**31 - 2**24
"""Of weights: a protobuf message has at most 2 GiB, the graph included."""
INT8_ROWS = 2000
"""Held-out rows that decide on int8. With an agreement of 98 % on so many, the interval (95 %) is 0.6 points to each side."""


class ArtifactFile(MessageModel):
    """One file of the artifact."""

    path: str
    """Path inside the artifact, with `/`."""
    size: int
    sha256: str


class Int8File(MessageModel):
    """What was found of `onnx/model_int8.onnx`."""

    rows: int
    """Held-out rows on which both files predicted; 0 if they were too few to decide."""
    agreement: float | None = None
    """Share of predictions that are those of `model.onnx`; None: not measured."""
    least_agreement: float
    """A file with less is not published."""
    refusal: str | None = None
    """Why the file is not there, as a sentence; None: it is."""


class OnnxFiles(MessageModel):
    """What was found of `onnx/model.onnx`."""

    rows: int
    """Test rows on which its logits were compared with those of the trained weights."""
    tolerance: float
    """The most that a logit may differ by, as a share of the logits' root mean square."""
    refusal: str | None = None
    """Why the files are not there, as a sentence; None: they are."""
    int8: Int8File | None = None
    """None: it was not asked for."""


class TargetScale(MessageModel):
    """Mean and standard deviation of the numbers that a model of `problemType: regression` learned from, in the user's unit."""

    mean: float
    std: Annotated[float, Field(gt=0)]


class AnswerSpans(MessageModel):
    """How a model of question answering reads contexts and chooses answers."""

    doc_stride: Annotated[int, Field(ge=0)]
    """Tokens of the context that two neighbouring windows share, at most (`model_inputs.context_windows`)."""
    max_answer_tokens: Annotated[int, Field(ge=1)]
    null_threshold: float | None = None
    """By how much, in nats, no answer must be likelier than the best answer to be given; chosen on the validation split. None: an answer is always given."""


class AdapterBase(MessageModel):
    """The model that the adapter in `adapter/` belongs to."""

    files: list[ArtifactFile]
    """Its weights, by their paths in the folder of the model. A model with other files is another one, whatever its name is."""


class Manifest(MessageModel):
    """`manifest.json`."""

    schema_version: Literal[1] = 1
    name: str
    """The FineTuneJob that made it."""
    task: str
    """`Settings.task_id`: a Hugging Face task id, perhaps with a problem type. A text, not a choice: the server says which tasks it knows."""
    base_model: str
    """`spec.model.uri`."""
    labels: list[str]
    """Class names in the order of their ids."""
    max_tokens: int
    """Longer texts were cut to this many tokens in training; the server does the same."""
    temperature: Annotated[float, Field(gt=0)]
    """Divide logits by this for calibrated confidence; fitted on the validation split."""
    metrics: list[Measured]
    lineage: dict[str, Any]
    files: list[ArtifactFile]
    onnx: OnnxFiles | None = None
    """None: `output.formats` does not ask for it."""
    adapter_base: AdapterBase | None = None
    """None: the artifact has no adapter, or is of a release that did not say."""
    target_scale: TargetScale | None = None
    """None: the model answers no numbers. The answers need no scaling: the head holds it."""
    answer_spans: AnswerSpans | None = None
    """None: the model finds no answers in contexts."""
    source_prefix: str | None = None
    """Begins every text that the model reads, as it did in training; None: nothing does."""
    _digest: str | None = PrivateAttr(default=None)

    @classmethod
    def from_wire(cls, data: object) -> Self:
        """Read decoded JSON. The digest covers every field that was read, also of a later release, and no default of this release."""
        manifest = super().from_wire(data)
        manifest._digest = _digest_of(data)  # noqa: SLF001  (its own)
        return manifest

    def digest(self) -> str:
        """Return `sha256:` and the SHA-256 of the canonical form."""
        return self._digest or _digest_of(self.to_wire())


def _digest_of(wire: object) -> str:
    return f"sha256:{digest_of(wire)}"
