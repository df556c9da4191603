"""ModelDeployment: which model to serve, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import Image, Metadata, ModelUri, ObjectReference, name_rule
from tuneloop_api.v1alpha1.model_deployment.access import Access, ApiKeyReference
from tuneloop_api.v1alpha1.model_deployment.adapters import ADAPTER_NAME_RULE, ADAPTER_RULES, AdapterSources
from tuneloop_api.v1alpha1.model_deployment.autoscaling import Autoscaling
from tuneloop_api.v1alpha1.model_deployment.expose import Expose
from tuneloop_api.v1alpha1.model_deployment.feedback import IS_ON_CEL, FeedbackOptions
from tuneloop_api.v1alpha1.model_deployment.gates import ON_FEEDBACK, ON_GOLDEN_SET, Evaluation
from tuneloop_api.v1alpha1.model_deployment.monitoring import MonitoringOptions
from tuneloop_api.v1alpha1.model_deployment.retraining import Retraining
from tuneloop_api.v1alpha1.model_deployment.retraining_rules import RETRAINING_RULES
from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
from tuneloop_api.v1alpha1.model_deployment.runtime import RuntimeOptions
from tuneloop_api.v1alpha1.model_deployment.server import Batching, Lifecycle, ServerResources
from tuneloop_api.v1alpha1.model_deployment.status import ModelDeploymentStatus
from tuneloop_api.v1alpha1.pods import Placement, PodOptions
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only, exactly_one, not_together
from tuneloop_api.wire.text_formats import DIGEST, SERVED_REVISION


class ServedModel(SpecModel):
    """The artifact to serve: exactly one of the two."""

    fine_tune_job_ref: ObjectReference | None = None
    """A FineTuneJob in this namespace, whose artifact is served once it has succeeded. Not together with `uri`. For example `{name: reviews}`."""
    uri: ModelUri | None = None
    """Folder of an artifact that a FineTuneJob published: `pvc://CLAIM/PATH`, or `file:///PATH` (local mode only; refused in a cluster). With `adapters` also the folder of the
    pre-trained model that they belong to. A model of the hub is refused: it is no such artifact. Not together with `fineTuneJobRef`. For example `pvc://models/jobs/reviews-1a2b3c4d/artifact`."""
    digest: Annotated[str, DIGEST.text(most=71)] | None = None
    """SHA-256 that the manifest of the artifact at `uri` must have, as a FineTuneJob shows it in `status.artifact.digest`; another artifact is not served. Applies only to `uri`.
    Default: whatever artifact is there. For example `sha256:9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c`."""

    pin: Annotated[str, SERVED_REVISION.text(most=8)] | None = None
    """Revision of `status.revisions` that serves, at once and for as long as this stands: no other one is rolled out. Applies only to deployments with `rollout`, which keep earlier
    revisions. Default: the revision that the spec makes. For example `7d1f0b2c`."""

    rules = (
        exactly_one("fine_tune_job_ref", "uri"),
        applies_only(
            "digest",
            to="uri",
            hint="a FineTuneJob's digest is in its status",
            cel="has(self.uri)",
            holds=lambda model: model.uri is not None,
        ),
    )


_IS_EXTERNAL = "(self.?runtime.?type.orValue('Builtin') != 'Builtin')"
_TO_OUR_SERVER = (
    "to runtime.type: Builtin (a comparison asks servers for their classes at /info, and reads their answers)"
)
_HAS_GOLDEN_SET = "(has(self.evaluation) && has(self.evaluation.goldenSet))"


def _of_our_server(field: str, *, hint: str) -> Rule:
    """Return the rule for a field that only our own model server reads."""
    return applies_only(
        field,
        to="runtime.type: Builtin",
        hint=hint,
        cel=f"!{_IS_EXTERNAL}",
        holds=lambda spec: not spec.has_external_runtime,
    )


class ModelDeploymentSpec(PodOptions):
    """Which model to serve, and how."""

    model: ServedModel
    """The artifact to serve: either that of a FineTuneJob, or that in a folder. For example `{fineTuneJobRef: {name: reviews}}`."""
    adapters: AdapterSources | None = None
    """LoRA adapters of the base model `model`, which one server holds together, 1 to 16; clients ask for them by name. All have the task and the classes of the base model, or of the
    first adapter. Default: the model alone. For example `[{name: films, fineTuneJobRef: {name: films}}, {name: books, fineTuneJobRef: {name: books}}]`."""
    runtime: RuntimeOptions | None = None
    """What computes the predictions. For example `{engine: onnx}`."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Number of server pods, 0 to 1000; they share the requests. `kubectl scale` and a HorizontalPodAutoscaler of your own write this field. Not together with
    `autoscaling`. Default: 1. For example `3`."""
    autoscaling: Autoscaling | None = None
    """Lets the number of server pods follow the load, by a HorizontalPodAutoscaler that the operator makes. Not together with `replicas`. Local mode has no autoscaler: `min` servers
    run. For example `{min: 2, max: 10}`."""
    batching: Batching | None = None
    """How requests are grouped into forward passes, which trades delay for throughput. Applies only to `runtime.type: Builtin`. For example `{maxBatchSize: 32}`."""
    lifecycle: Lifecycle | None = None
    """How long a server may take to start and to stop. For example `{startup: 30m}`."""
    resources: ServerResources | None = None
    """CPU, memory and devices of each server pod. Default: no request and no limit. For example `{cpu: 4, memory: 8Gi}`."""
    image: Image | None = None
    """Image of the server, best with its digest. Default: the operator's setting; needed with `runtime.type: Custom` and `VLLM`. For example `registry.example.com/server:1.2.0`."""
    rollout: RolloutOptions | None = None
    """How a new revision takes over the requests. Default: at once, as soon as a server of it is ready; nothing is kept of the old revision.
    For example `{strategy: Canary, approval: Manual}`."""
    evaluation: Evaluation | None = None
    """What revisions are judged on beside the requests of clients. For example `{goldenSet: {uri: pvc://models/golden.jsonl}}`."""
    feedback: FeedbackOptions | None = None
    """Lets clients send back the label that was right. Applies only to `runtime.type: Builtin`. Default: predictions get no token. For example `{labelDelay: 12h}`."""
    retraining: Retraining | None = None
    """When the model is trained again, and how often at most; applies only to deployments with `rollout`, by which a new model takes over. Default: never by itself.
    For example `{enabled: true, jobTemplateRef: {name: reviews}, cooldown: 6h}`."""
    monitoring: MonitoringOptions | None = None
    """Measures drift: how far later requests are from the first ones of the revision. It needs a Prometheus that the operator may ask. Applies only to `runtime.type: Builtin`.
    Default: requests are counted, and compared with nothing. For example `{baselineWindow: 7d}`."""
    expose: Expose | None = None
    """How clients reach the servers. For example `{stickyHeader: x-user}`."""
    access: Access | None = None
    """Who may ask the servers, and how often. For example `{apiKeySecretRef: {name: reviews-clients, key: api-keys}, rateLimit: {requestsPerSecond: 50}}`."""
    scheduling: Placement | None = None
    """On which nodes the server pods run. For example `{nodeSelector: {pool: serving}}`."""

    @property
    def has_external_runtime(self) -> bool:
        """Whether an image that is not ours serves the model."""
        return self.runtime is not None and self.runtime.is_external

    @property
    def api_key_secret_ref(self) -> ApiKeyReference | None:
        """The Secret with the keys of clients; None: a request needs no key."""
        return None if self.access is None else self.access.api_key_secret_ref

    @property
    def has_limited_access(self) -> bool:
        """Whether routers check requests before servers get them, whatever the strategy of roll-outs is."""
        return self.access is not None and self.access.needs_routers

    rules = (
        *ADAPTER_RULES,
        Rule(
            field="image",
            cel=f"has(self.image) || !{_IS_EXTERNAL}",
            holds=lambda spec: spec.image is not None or not spec.has_external_runtime,
            message="must be given with runtime.type: Custom and VLLM, for which the operator has none; for example registry.example.com/hf-serve:0.2.0",
        ),
        _of_our_server("batching", hint="give runtime.args of the program instead"),
        Rule(
            field="lifecycle.preStop",
            reason="FieldValueForbidden",
            cel=f"!has(self.lifecycle) || !has(self.lifecycle.preStop) || {_IS_EXTERNAL}",
            holds=lambda spec: spec.has_external_runtime or spec.lifecycle is None or spec.lifecycle.pre_stop is None,
            message="applies only to runtime.type: Custom and VLLM (our own server drains by itself)",
        ),
        Rule(
            field="rollout.gates",
            reason="FieldValueForbidden",
            cel=f"!{_IS_EXTERNAL} || !has(self.rollout) || !has(self.rollout.gates)"
            " || !self.rollout.gates.exists(gate, has(gate.metric))",
            holds=lambda spec: (
                not spec.has_external_runtime
                or spec.rollout is None
                or all(gate.metric is None for gate in spec.rollout.gates or ())
            ),
            message=f"metric applies only {_TO_OUR_SERVER}; ask Prometheus; for example [{{name: errors, query: …, margin: 0.01}}]",
        ),
        Rule(
            field="rollout.strategy",
            reason="FieldValueForbidden",
            cel=f"!{_IS_EXTERNAL} || self.?rollout.?strategy.orValue('Canary') != 'Shadow'",
            holds=lambda spec: (
                not spec.has_external_runtime or spec.rollout is None or spec.rollout.strategy != "Shadow"
            ),
            message=f"Shadow applies only {_TO_OUR_SERVER}; for example Canary",
        ),
        Rule(
            field="rollout.onThinTraffic",
            reason="FieldValueForbidden",
            cel=f"!{_IS_EXTERNAL} || self.?rollout.?onThinTraffic.orValue('Hold') != 'Replay'",
            holds=lambda spec: (
                not spec.has_external_runtime or spec.rollout is None or spec.rollout.on_thin_traffic != "Replay"
            ),
            message=f"Replay applies only {_TO_OUR_SERVER}; for example Hold",
        ),
        Rule(
            field="resources.gpus",
            cel=f"self.?resources.?gpus.orValue(0) <= ({_IS_EXTERNAL} ? 64 : self.?runtime.?engine.orValue('auto') == 'onnx' ? 0 : 1)",
            holds=lambda spec: spec.has_external_runtime or _gpus(spec) <= (0 if _has_onnx(spec) else 1),
            message="must be at most 1 with runtime.type: Builtin, whose server computes on one GPU, and 0 with runtime.engine: onnx, which computes on the CPU; "
            "for example gpus: 1 and replicas: 2",
        ),
        not_together("replicas", "autoscaling"),
        Rule(
            field="autoscaling.signal",
            reason="FieldValueForbidden",
            cel=f"!{_IS_EXTERNAL} || self.?autoscaling.?signal.orValue('CPU') != 'Concurrency'",
            holds=lambda spec: (
                not spec.has_external_runtime or spec.autoscaling is None or spec.autoscaling.signal != "Concurrency"
            ),
            message="Concurrency applies only to runtime.type: Builtin (another image does not count its requests as our server does); for example CPU",
        ),
        Rule(
            field="model.pin",
            reason="FieldValueForbidden",
            cel="!has(self.model.pin) || has(self.rollout)",
            holds=lambda spec: spec.model.pin is None or spec.rollout is not None,
            message="applies only to deployments with rollout (without it no earlier revision is kept)",
        ),
        *RETRAINING_RULES,
        Rule(
            field="expose.stickyHeader",
            reason="FieldValueForbidden",
            cel="!has(self.expose) || !has(self.expose.stickyHeader)"
            " || (has(self.rollout) && (!has(self.rollout.strategy) || self.rollout.strategy != 'Recreate'))",
            holds=lambda spec: _has_routers(spec) or spec.expose is None or spec.expose.sticky_header is None,
            message="applies only to rollout.strategy: Canary, BlueGreen and Shadow (without a rollout all requests go to one revision)",
        ),
        Rule(
            field="rollout.gates",
            reason="FieldValueForbidden",
            cel=f"!has(self.rollout) || !has(self.rollout.gates) || {_HAS_GOLDEN_SET}"
            f" || !self.rollout.gates.exists(gate, has(gate.metric) && gate.metric in {sorted(ON_GOLDEN_SET)})",
            holds=lambda spec: (
                _has_golden_set(spec)
                or spec.rollout is None
                or not any(gate.is_on_golden_set for gate in spec.rollout.gates or ())
            ),
            message="GoldenAccuracy, Calibration and GenerationQuality apply only with a golden set; for example evaluation: {goldenSet: {uri: pvc://models/golden.jsonl}}",
        ),
        Rule(
            field="rollout.onThinTraffic",
            reason="FieldValueForbidden",
            cel="!has(self.rollout) || !has(self.rollout.onThinTraffic) || self.rollout.onThinTraffic != 'Replay'"
            f" || {_HAS_GOLDEN_SET}",
            holds=lambda spec: (
                _has_golden_set(spec) or spec.rollout is None or spec.rollout.on_thin_traffic != "Replay"
            ),
            message="Replay applies only with a golden set; for example evaluation: {goldenSet: {uri: pvc://models/golden.jsonl}}",
        ),
        _of_our_server("feedback", hint="another image signs no tokens"),
        _of_our_server("monitoring", hint="another image counts no features"),
        Rule(
            field="rollout.gates",
            reason="FieldValueForbidden",
            cel=f"!has(self.rollout) || !has(self.rollout.gates) || {IS_ON_CEL}"
            f" || !self.rollout.gates.exists(gate, has(gate.metric) && gate.metric in {sorted(ON_FEEDBACK)})",
            holds=lambda spec: (
                (spec.feedback is not None and spec.feedback.is_on)
                or spec.rollout is None
                or not any(gate.is_on_feedback for gate in spec.rollout.gates or ())
            ),
            message="FeedbackAccuracy applies only with feedback; for example feedback: {labelDelay: 1d}",
        ),
    )

    @property
    def least_servers(self) -> int:
        """Number of server pods that a deployment begins with; there are as many or, by an autoscaler, more."""
        if self.autoscaling is not None:
            return self.autoscaling.least
        return 1 if self.replicas is None else self.replicas


def _has_golden_set(spec: ModelDeploymentSpec) -> bool:
    return spec.evaluation is not None and spec.evaluation.golden_set is not None


def _gpus(spec: ModelDeploymentSpec) -> int:
    return (spec.resources.gpus if spec.resources else None) or 0


def _has_onnx(spec: ModelDeploymentSpec) -> bool:
    return spec.runtime is not None and spec.runtime.engine == "onnx"


def _has_routers(spec: ModelDeploymentSpec) -> bool:
    return spec.rollout is not None and spec.rollout.has_routers


class ModelDeployment(SpecModel):
    """A fine-tuned model that is served over HTTP."""

    api_version: Literal["tuneloop.dev/v1alpha1"]
    """Always `tuneloop.dev/v1alpha1`."""
    kind: Literal["ModelDeployment"]
    """Always `ModelDeployment`."""
    metadata: Metadata
    """Standard object metadata. The name is a DNS label of at most 36 characters."""
    spec: ModelDeploymentSpec
    """Which model to serve, and how."""
    status: ModelDeploymentStatus | None = None
    """What is being served."""

    rules = (name_rule(most=36), ADAPTER_NAME_RULE)
