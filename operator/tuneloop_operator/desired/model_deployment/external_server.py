"""The servers of an image that is not ours (`runtime.type: Custom` and `VLLM`): a container that we know little of, behind a check of the artifact by our own image.

The image sees the artifact alone, read-only, and no other folder of its claim; it gets no configuration of ours and no token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.server_config import SERVER_CONFIG_PATH
from tuneloop_api.v1alpha1.model_deployment.runtime import RuntimeOptions
from tuneloop_api.v1alpha1.model_deployment.server import Lifecycle, ServerResources
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.uris import claim_path
from tuneloop_operator.desired.common.environment import environment
from tuneloop_operator.desired.common.pod import CONFIG_DIRECTORY, HOME, container_security, image_of, plain_env
from tuneloop_operator.desired.common.resources import container_resources, half_of_memory, shared_memory
from tuneloop_operator.desired.model_deployment.endpoints import HTTP, METRICS, endpoints_of
from tuneloop_operator.names import CHECK_CONTAINER, SERVER_CONTAINER

if TYPE_CHECKING:
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_api.v1alpha1 import ModelDeployment, ModelDeploymentSpec
    from tuneloop_api.v1alpha1.pod_env import EnvVariable
    from tuneloop_operator.settings.operator import OperatorSettings

ARTIFACT_PATH = "/tuneloop/artifact"
MODEL_PATH = f"{ARTIFACT_PATH}/model"
_ADAPTERS = "/tuneloop/adapters"
_MOST_RANK = 64
"""Of an adapter, where `runtime.args` names no other: vLLM keeps room for it, and refuses a higher rank when it starts."""
TASKS_OF_VLLM = ("text-classification", "text-generation")
"""vLLM answers token classification with a vector for each token, and no entities."""
_DTYPES_OF_VLLM = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_PROBE_SECONDS = 5
_CHECK_RESOURCES = {"requests": {"cpu": "100m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}}
"""Of the check: it holds no file in memory."""

Fields = dict[str, Any]


def pre_stop_seconds(spec: ModelDeploymentSpec) -> int:
    """Return for how long a server goes on before SIGTERM; 0 for our own, which drains by itself."""
    lifecycle = spec.lifecycle or Lifecycle()
    return seconds(lifecycle.pre_stop or "15s") if spec.has_external_runtime else 0


def external_identity(spec: ModelDeploymentSpec) -> list[Any]:
    """Return what else makes a revision of its own; empty for our own server, whose configuration has it all."""
    if spec.runtime is None or not spec.runtime.is_external:
        return []
    return [{"runtime": spec.runtime.to_wire(), "preStopSeconds": pre_stop_seconds(spec)}]


def scrape_annotations(spec: ModelDeploymentSpec) -> dict[str, str]:
    """Return the annotations by which a Prometheus finds the metrics of the image; empty for our own server, whose port has a name."""
    if not spec.has_external_runtime:
        return {}
    where = endpoints_of(spec)
    found = {"scrape": "true", "port": str(where.metrics_port or where.port), "path": where.metrics_path}
    return {f"prometheus.io/{name}": value for name, value in found.items()}


def check_container(
    spec: ModelDeploymentSpec, *, image: str, claim_mounts: list[Any], settings: OperatorSettings
) -> Fields:
    """Return the container that compares the artifact with its digest before the image reads it. image: of our model server."""
    is_vllm = spec.runtime is not None and spec.runtime.type == "VLLM"
    tasks = [word for task in TASKS_OF_VLLM for word in ("--task", task)] if is_vllm else []
    return {
        "name": CHECK_CONTAINER,
        **image_of(image, settings, policy=spec.image_pull_policy),
        "command": ["python", "-m", "tuneloop_server.artifact_check", SERVER_CONFIG_PATH, *tasks],
        "resources": _CHECK_RESOURCES,
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "config", "mountPath": CONFIG_DIRECTORY, "readOnly": True}, *claim_mounts],
    }


def external_container(
    deployment: ModelDeployment, config: ServerConfig, *, mounts: list[Any], settings: OperatorSettings
) -> Fields:
    """Return the container of the image. mounts: of volumes that the spec gives it."""
    spec, where = deployment.spec, endpoints_of(deployment.spec)
    resources = spec.resources or ServerResources()
    ports = {HTTP: where.port} | ({} if where.metrics_port in {None, where.port} else {METRICS: where.metrics_port})
    assert spec.image is not None  # a rule of the spec
    return {
        "name": SERVER_CONTAINER,
        **image_of(spec.image, settings, policy=spec.image_pull_policy),
        **_command_line(deployment, config),
        "env": environment(_variables(deployment, settings), spec, settings),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()],
        "resources": container_resources(
            resources, resources, gpus=resources.gpus or 0, gpu_resource=resources.gpu_resource
        ),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": pre_stop_seconds(spec)}}},
        "startupProbe": _probe(where.readiness_path, failures=config.startup_seconds) | {"periodSeconds": 1},
        "livenessProbe": _probe(where.liveness_path, failures=6),
        "readinessProbe": _probe(where.readiness_path, failures=2),
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (an emptyDir of the pod's own)
            {"name": "home", "mountPath": HOME},
            *_artifact_mounts(config),
            *mounts,
        ],
    }


def external_shared_memory(spec: ModelDeploymentSpec) -> tuple[Fields, Fields]:
    """Return the volume of /dev/shm and its mount; empty where neither the spec nor the image asks for one."""
    resources = spec.resources or ServerResources()
    if spec.runtime is not None and spec.runtime.type == "VLLM":  # its processes pass tensors by it
        return shared_memory(resources.shared_memory or half_of_memory(resources.memory))
    return shared_memory(resources.shared_memory) if resources.shared_memory else ({}, {})


def _artifact_mounts(config: ServerConfig) -> list[Fields]:
    """Return the mounts of the artifact and of each adapter; of their claims the image sees nothing else."""
    adapters = {f"{_ADAPTERS}/{adapter.name}": adapter.artifact_uri for adapter in config.adapters or ()}
    places = {path: claim_path(uri) for path, uri in ({ARTIFACT_PATH: config.artifact_uri} | adapters).items()}
    found = {path: place for path, place in places.items() if place is not None}
    claims = sorted({place.claim for place in found.values()})  # in the order of `claim_volumes`
    return [
        {"name": f"claim-{claims.index(place.claim)}", "mountPath": path, "subPath": place.path, "readOnly": True}
        for path, place in found.items()
    ]


def _command_line(deployment: ModelDeployment, config: ServerConfig) -> Fields:
    runtime = deployment.spec.runtime or RuntimeOptions()
    if runtime.type == "VLLM":
        words = [*_arguments_of_vllm(deployment, runtime, config), *_adapters_of_vllm(config), *(runtime.args or ())]
        return {"command": ["vllm", "serve"], "args": words}
    return {name: words for name, words in (("command", runtime.command), ("args", runtime.args)) if words}


def _arguments_of_vllm(deployment: ModelDeployment, runtime: RuntimeOptions, config: ServerConfig) -> list[str]:
    resources = deployment.spec.resources or ServerResources()
    options = {
        "--port": endpoints_of(deployment.spec).port,
        "--served-model-name": deployment.metadata["name"],
        "--dtype": _DTYPES_OF_VLLM.get(runtime.dtype or "auto"),
        "--max-model-len": runtime.max_model_tokens,
        "--tensor-parallel-size": resources.gpus if (resources.gpus or 0) > 1 else None,
    }
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    is_folder = (
        config.adapters is not None and config.digest is None
    )  # of a pre-trained model; `artifact_check` requires it
    return [ARTIFACT_PATH if is_folder else MODEL_PATH, *given]


def _adapters_of_vllm(config: ServerConfig) -> list[str]:
    """Return the options for adapters, which vLLM loads when it starts; empty without them."""
    if not config.adapters:
        return []
    modules = [f"{adapter.name}={_ADAPTERS}/{adapter.name}/adapter" for adapter in config.adapters]
    room = ["--max-loras", str(len(modules)), "--max-lora-rank", str(_MOST_RANK)]
    return ["--enable-lora", *room, "--lora-modules", *modules]


def _variables(deployment: ModelDeployment, settings: OperatorSettings) -> list[Fields]:
    """Return the variables of the container: ours, and what a program may rely on that the image's author did not think of, unless somebody sets it."""
    ours = {
        "TUNELOOP_MODEL_PATH": MODEL_PATH,
        "TUNELOOP_ARTIFACT_PATH": ARTIFACT_PATH,
        "TUNELOOP_MODEL_NAME": deployment.metadata["name"],
        "TUNELOOP_PORT": str(endpoints_of(deployment.spec).port),
        "HF_HUB_OFFLINE": "1",
    }
    defaults = settings.pod_defaults
    given: list[EnvVariable] = [*(defaults.env or () if defaults else ()), *(deployment.spec.env or ())]
    names = {variable.name for variable in given}
    # the pod's user has no line in the image's /etc/passwd: Python's getpass, and so torch, looks for the name here first
    offered = {"USER": "tuneloop", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "VLLM_NO_USAGE_STATS": "1"}
    chosen = ours | {name: value for name, value in offered.items() if name not in names}
    return [*plain_env(), *({"name": name, "value": value} for name, value in chosen.items())]


def _probe(path: str, *, failures: int) -> Fields:
    return {
        "httpGet": {"path": path, "port": HTTP},
        "periodSeconds": _PROBE_SECONDS,
        "timeoutSeconds": _PROBE_SECONDS,
        "failureThreshold": failures,
    }
