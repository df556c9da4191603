"""What computes the predictions: `spec.runtime`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only
from tuneloop_api.wire.text_formats import URL_PATH, VARIABLE_VALUE

Word: TypeAlias = Annotated[str, VARIABLE_VALUE.text(most=4096)]
"""A word of a command line. The kubelet puts variables of the container in for `$(NAME)`."""
Port: TypeAlias = Annotated[int, Field(ge=1024, le=65535)]
UrlPath: TypeAlias = Annotated[str, URL_PATH.text(most=256)]
_DTYPES_OF_ONNX = frozenset({"auto", "fp32", "int8"})
_DTYPES_OF_VLLM = frozenset({"auto", "fp32", "fp16", "bf16"})
_TYPE = "self.?type.orValue('Builtin')"
_ENGINE = "self.?engine.orValue('auto')"


class RuntimeEndpoints(SpecModel):
    """Where the server of an image answers probes, clients and Prometheus."""

    port: Port | None = None
    """Port at which the server takes requests, 1024 to 65535, on all addresses of its pod. Default: 8080. For example `8000`."""
    readiness_path: UrlPath | None = None
    """Path at which it answers GET with 200 once it has loaded the model, and with another status or not at all before that: the kubelet and the routers ask. Default: `/health`.
    For example `/v2/health/ready`."""
    liveness_path: UrlPath | None = None
    """Path at which it answers GET with 200 while it works; a server that does not is started again. Default: that of `readinessPath`. For example `/v2/health/live`."""
    metrics_path: UrlPath | None = None
    """Path of its Prometheus metrics, which the annotations `prometheus.io/…` of its pods name. Default: `/metrics`. For example `/v2/metrics`."""
    metrics_port: Port | None = None
    """Port at which Prometheus finds the page of its metrics, 1024 to 65535. Default: that of the requests. For example `8082`."""


class RuntimeOptions(SpecModel):
    """What computes the predictions."""

    type: Literal["Builtin", "Custom", "VLLM"] | None = None
    """Which program serves the model. Builtin: the model server of Tuneloop. Custom: the program of `spec.image`, as `command`, `args` and `endpoints` say. VLLM: `vllm serve` of
    `spec.image`, for text classification and generation. Default: Builtin."""
    engine: Literal["auto", "torch", "onnx"] | None = None
    """Which library runs the model: `torch` takes `model/` of the artifact, `onnx` (ONNX Runtime) takes `onnx/`, which a FineTuneJob publishes with
    `output.formats: [safetensors, onnx]`; `auto` is torch in this release. Embeddings need torch. Applies only to `type: Builtin`. Default: `auto`."""
    dtype: Literal["auto", "fp32", "int8", "fp16", "bf16"] | None = None
    """Numbers that the model computes in. With `engine: onnx` those of its linear layers: `fp32`, or `int8`, which takes the file of `output.formats: [onnx-int8]`; `auto` is fp32.
    With `type: VLLM`: `fp32`, `fp16` or `bf16`; `auto` is what vLLM takes for the model. Applies only to these two. Default: `auto`."""
    command: Annotated[list[Word], Field(min_length=1, max_length=64)] | None = None
    """Program of the container and its first words; `$(TUNELOOP_MODEL_PATH)` stands for the folder of the model. Applies only to `type: Custom`. Default: that of the image.
    For example `[hf-serve]`."""
    args: Annotated[list[Word], Field(min_length=1, max_length=256)] | None = None
    """Further words of its command line, likewise; with `type: VLLM` they follow those of the operator. Applies only to `type: Custom` and `VLLM`. Default: those of the image,
    with `VLLM` none. For example `[--model-dir, $(TUNELOOP_MODEL_PATH), --task, text-classification]`."""
    endpoints: RuntimeEndpoints | None = None
    """Where the server answers. Applies only to `type: Custom`. Default: everything at port 8080. For example `{port: 8000, readinessPath: /health}`."""
    max_model_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Number of tokens that vLLM takes of a text at most (`--max-model-len`). Applies only to `type: VLLM`. Default: what the model takes. For example `512`."""

    @property
    def is_external(self) -> bool:
        """Whether an image that is not ours serves the model."""
        return self.type in {"Custom", "VLLM"}

    rules = (
        applies_only(
            "engine",
            to="type: Builtin",
            cel=f"{_TYPE} == 'Builtin'",
            holds=lambda runtime: not runtime.is_external,
        ),
        applies_only(
            "dtype",
            to="engine: onnx, and to type: VLLM",
            cel=f"{_ENGINE} == 'onnx' || {_TYPE} == 'VLLM'",
            holds=lambda runtime: runtime.engine == "onnx" or runtime.type == "VLLM",
        ),
        Rule(
            field="dtype",
            cel=f"!has(self.dtype) || ({_TYPE} == 'VLLM' ? self.dtype in {sorted(_DTYPES_OF_VLLM)} : {_ENGINE} != 'onnx'"
            f" || self.dtype in {sorted(_DTYPES_OF_ONNX)})",
            holds=lambda runtime: runtime.dtype is None or runtime.dtype in _dtypes(runtime),
            message="must be auto, fp32 or int8 with engine: onnx, and auto, fp32, fp16 or bf16 with type: VLLM; for example fp32",
        ),
        applies_only(
            "command", to="type: Custom", cel=f"{_TYPE} == 'Custom'", holds=lambda runtime: runtime.type == "Custom"
        ),
        applies_only(
            "args",
            to="type: Custom and VLLM",
            cel=f"{_TYPE} != 'Builtin'",
            holds=lambda runtime: runtime.is_external,
        ),
        applies_only(
            "endpoints",
            to="type: Custom",
            hint="the others answer where the operator expects it",
            cel=f"{_TYPE} == 'Custom'",
            holds=lambda runtime: runtime.type == "Custom",
        ),
        applies_only(
            "max_model_tokens",
            to="type: VLLM",
            cel=f"{_TYPE} == 'VLLM'",
            holds=lambda runtime: runtime.type == "VLLM",
        ),
    )


def _dtypes(runtime: RuntimeOptions) -> frozenset[str]:
    """Return what `dtype` may be, where it applies at all."""
    if runtime.type == "VLLM":
        return _DTYPES_OF_VLLM
    return _DTYPES_OF_ONNX if runtime.engine == "onnx" else _DTYPES_OF_ONNX | _DTYPES_OF_VLLM
