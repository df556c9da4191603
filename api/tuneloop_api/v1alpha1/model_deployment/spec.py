"""ModelDeployment: which model to serve, how, and what is being served."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import (
    Conditions,
    Duration,
    Image,
    LongText,
    Metadata,
    ModelUri,
    ObjectReference,
    ResourceAmounts,
    ShortText,
    name_rule,
    positive_duration,
)
from tuneloop_api.v1alpha1.failure import ServingFailure
from tuneloop_api.v1alpha1.model_deployment.access import Access, ApiKeyReference
from tuneloop_api.v1alpha1.model_deployment.adapters import ADAPTER_NAME_RULE, ADAPTER_RULES, AdapterSources
from tuneloop_api.v1alpha1.model_deployment.autoscaling import Autoscaling
from tuneloop_api.v1alpha1.model_deployment.expose import Expose
from tuneloop_api.v1alpha1.model_deployment.feedback import FeedbackOptions
from tuneloop_api.v1alpha1.model_deployment.gates import ON_FEEDBACK, ON_GOLDEN_SET, Evaluation
from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
from tuneloop_api.v1alpha1.model_deployment.runtime import RuntimeOptions
from tuneloop_api.v1alpha1.pods import Placement, PodOptions
from tuneloop_api.v1alpha1.resources import GpuResource, Gpus, PodResources
from tuneloop_api.wire.model import MessageModel, Open, SpecModel
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


class Batching(SpecModel):
    """How requests are grouped into forward passes."""

    max_batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of texts in one forward pass at most, 1 to 1024: more give more texts per second, and take more memory. Default: 16. For example `32`."""
    max_delay_milliseconds: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Time in milliseconds that a text waits at most for others to join it while the model is idle, 0 to 1000. Default: 5. For example `10`."""
    max_queue: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Number of texts that may wait, 1 to 65536; what comes beyond it is answered 429 with Retry-After. Default: 256. For example `1024`."""


class Lifecycle(SpecModel):
    """How the server starts and stops."""

    startup: Duration | None = None
    """Time that a server may take to load its model before it is restarted. Whole numbers with the units d, h, m, s, longer than 0s.
    Default: 10m; for an artifact of a FineTuneJob of more than 12 GB a second for each 20 MB. For example `30m`."""
    drain: Duration | None = None
    """Time that requests in flight get to be answered when a server is asked to stop. Whole numbers with the units d, h, m, s. Default: 45s. For example `2m`."""

    pre_stop: Duration | None = None
    """Time between the end of a pod and SIGTERM to its server, which still answers: so long may requests come of clients that do not know of the end yet. Whole numbers with the units
    d, h, m, s, longer than 0s. Applies only to `runtime.type: Custom` and `VLLM`; our own server needs none. Default: 15s. For example `1m`."""

    rules = (positive_duration("startup"), positive_duration("pre_stop"))


class ServerResources(PodResources, ResourceAmounts):
    """CPU, memory and devices of each server pod."""

    gpus: Gpus | None = None
    """Number of GPUs of each server pod, 0 to 64. Our own server computes on one, with `runtime.engine: torch`; `replicas` take more. With `runtime.type: VLLM` they share the model
    (`--tensor-parallel-size`). Default: 0, the CPU computes. For example `1`."""
    gpu_resource: GpuResource | None = None
    """Name of the extended resource that stands for one GPU: `DOMAIN/NAME`. Default: `nvidia.com/gpu`. For example `amd.com/gpu`."""


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
            message="GoldenAccuracy and Calibration apply only with a golden set; for example evaluation: {goldenSet: {uri: pvc://models/golden.jsonl}}",
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
        Rule(
            field="rollout.gates",
            reason="FieldValueForbidden",
            cel="!has(self.rollout) || !has(self.rollout.gates)"
            " || (has(self.feedback) && (!has(self.feedback.enabled) || self.feedback.enabled))"
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


DeploymentPhase = Literal["Pending", "Loading", "Ready", "Progressing", "Degraded"]


class ServedRevision(MessageModel):
    """One immutable version of what is served."""

    revision: ShortText
    """Hash of the artifact and the server's settings; part of its Deployment's name."""
    digest: ShortText
    """SHA-256 of the manifest of the artifact, as `sha256:…`."""
    uri: LongText
    """Folder of the artifact, as `pvc://CLAIM/PATH`."""
    replicas: int | None = None
    """Number of server pods that this revision is to have."""
    ready_replicas: int | None = None
    """Number of its server pods that answer requests."""


class StableRevision(ServedRevision):
    """The revision that answers requests now, and what is wrong with its servers."""

    failure: ServingFailure | None = None
    """Why servers of `stable` do not come up, while another revision is on its way; else `status.failure` says it."""


class ModelDeploymentStatus(MessageModel):
    """What is being served."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status was computed from."""
    phase: Annotated[DeploymentPhase | None, Open(None)] = None
    """Where the deployment is in its life, as one word for people; programs look at `conditions`."""
    conditions: Conditions | None = None
    """Aspects of the state, one entry each: Accepted, ModelAvailable, Ready and others. Accepted is False where the spec is refused, and says why."""
    stable: StableRevision | None = None
    """The revision that answers requests now: one version of artifact and settings."""
    canary: ServedRevision | None = None
    """The revision that is to take over, with `spec.rollout`."""
    revisions: Annotated[list[ServedRevision] | None, Field(max_length=64)] = None
    """The revisions that have a Deployment, the oldest first, with `spec.rollout`."""
    rollout: RolloutStatus | None = None
    """Where its roll-out is, with `spec.rollout`."""
    failure: ServingFailure | None = None
    """Why servers of the revision that is on its way do not come up, or of stable if none is: what, where and what to do. Absent while they all answer."""
    ready: ShortText | None = None
    """How many of the server pods are ready, for example `1/1`."""
    replicas: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Number of server pods that there are, of all revisions, for `kubectl scale` and a HorizontalPodAutoscaler; absent if `spec.replicas` is."""
    selector: ShortText | None = None
    """Labels by which a HorizontalPodAutoscaler finds the server pods, as text; absent if `spec.replicas` is."""
    url: LongText | None = None
    """Address of the server inside the cluster; in local mode its address on this machine."""
    resolved: Annotated[dict[str, Any], Field(max_length=64)] | None = None
    """What the spec left to the administrator: `podDefaults` is what new server pods get from the chart. Of variables it has the names alone; absent if there is nothing."""


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
