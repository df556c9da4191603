"""LoRA adapters that are served on one base model: `spec.adapters` of a ModelDeployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from tuneloop_api.v1alpha1.common import FilesUri, ObjectReference
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only, exactly_one
from tuneloop_api.wire.text_formats import DIGEST, GATE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_ADAPTERS = 16


class AdapterSource(SpecModel):
    """An adapter: its name, and exactly one of the two places of its artifact."""

    name: Annotated[str, GATE_NAME.text(most=63)]
    """Name by which clients ask for the adapter: a-z, 0-9 and -, beginning with a letter, ending with a letter or digit. No two are alike, and none is that of the deployment. For
    example `reviews`."""
    fine_tune_job_ref: ObjectReference | None = None
    """A FineTuneJob in this namespace with `method.type: lora`, whose adapter is served once it has succeeded. Not together with `uri`. For example `{name: reviews}`."""
    uri: FilesUri | None = None
    """Folder of an artifact with an adapter: `pvc://CLAIM/PATH`, or `file:///PATH` (local mode only; refused in a cluster). Not together with `fineTuneJobRef`. For example
    `pvc://models/jobs/reviews-1a2b3c4d/artifact`."""
    digest: Annotated[str, DIGEST.text(most=71)] | None = None
    """SHA-256 that the manifest of the artifact at `uri` must have, as a FineTuneJob shows it in `status.artifact.digest`. Applies only to `uri`. Default: whatever artifact is there.
    For example `sha256:9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c`."""

    rules = (
        exactly_one("fine_tune_job_ref", "uri"),
        applies_only(
            "digest",
            to="uri",
            hint="a FineTuneJob's digest is in its status",
            cel="has(self.uri)",
            holds=lambda adapter: adapter.uri is not None,
        ),
    )


AdapterSources = Annotated[list[AdapterSource], Field(min_length=1, max_length=MOST_ADAPTERS)]

ADAPTER_RULES = (
    Rule(
        field="adapters",
        cel="!has(self.adapters) || self.adapters.all(adapter, self.adapters.exists_one(other, other.name == adapter.name))",
        holds=lambda spec: _all_differ([adapter.name for adapter in spec.adapters or ()]),
        message="no two adapters may have the same name; for example [{name: films, …}, {name: books, …}]",
    ),
    Rule(
        field="adapters",
        reason="FieldValueForbidden",
        cel="!has(self.adapters) || self.?runtime.?engine.orValue('auto') != 'onnx'",
        holds=lambda spec: spec.adapters is None or spec.runtime is None or spec.runtime.engine != "onnx",
        message="applies only to runtime.engine: torch (an ONNX file is a whole model)",
    ),
    Rule(
        field="adapters",
        reason="FieldValueForbidden",
        cel="!has(self.adapters) || self.?runtime.?type.orValue('Builtin') != 'Custom'",
        holds=lambda spec: spec.adapters is None or spec.runtime is None or spec.runtime.type != "Custom",
        message="applies only to runtime.type: Builtin and VLLM (give adapters in runtime.args of the program instead)",
    ),
)
"""Of the spec."""


def _holds_beside_the_name(deployment: Any) -> bool:
    return all(adapter.name != deployment.metadata.get("name") for adapter in deployment.spec.adapters or ())


ADAPTER_NAME_RULE = Rule(
    field="spec.adapters",
    cel="!has(self.spec.adapters) || self.spec.adapters.all(adapter, adapter.name != self.metadata.name)",
    holds=_holds_beside_the_name,
    message="no adapter may have the name of the ModelDeployment, by which clients ask for its default; for example [{name: films, …}]",
)
"""Of the ModelDeployment."""


def _all_differ(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)
