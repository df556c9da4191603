"""The pods of servers that are not ours: what the image is given, what it cannot see, and how it is stopped."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import SETTINGS, Fields, a_deployment, container_of, pod_in, server
from pod_security import offences

from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.model_deployment.serving import (
    AdapterReference,
    ArtifactReference,
    server_config,
    server_deployment,
)
from tuneloop_operator.settings.pod_defaults import PodDefaults

IMAGE = "registry.example/serve:1"
RESOURCES = {"memory": "8Gi"}


def deployment(
    *, settings: Any = SETTINGS, type_: str = "Custom", spec: Fields | None = None, **runtime: Any
) -> Fields:
    given = {"image": IMAGE, "runtime": {"type": type_} | runtime, "resources": RESOURCES}
    return server(settings, **given | (spec or {}))


def pod(**given: Any) -> Fields:
    return pod_in(deployment(**given))


def container(**given: Any) -> Fields:
    return container_of(pod(**given))


def variables(found: Fields) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in found["env"]}


@pytest.mark.parametrize("type_", ["Custom", "VLLM"])
def test_the_image_sees_the_artifact_alone_and_cannot_write_it(type_: str) -> None:
    mounts = {mount["mountPath"]: mount for mount in container(type_=type_)["volumeMounts"]}
    assert mounts["/tuneloop/artifact"] == {
        "name": "claim-0",
        "mountPath": "/tuneloop/artifact",
        "subPath": "artifact",
        "readOnly": True,
    }
    assert [path for path in mounts if path.startswith(("/tuneloop", "/etc"))] == ["/tuneloop/artifact"]


@pytest.mark.parametrize("type_", ["Custom", "VLLM"])
def test_the_pods_are_restricted_and_have_no_token(type_: str) -> None:
    made = pod(type_=type_)
    assert offences({"metadata": {}, "spec": made}) == []
    assert made["automountServiceAccountToken"] is False
    assert not any("projected" in volume for volume in made["volumes"])


def test_our_image_checks_the_artifact_first() -> None:
    (check,) = pod()["initContainers"]
    assert check["image"] == SETTINGS.server_image
    assert check["command"] == ["python", "-m", "tuneloop_server.artifact_check", "/etc/tuneloop/server.json"]
    assert [mount["mountPath"] for mount in check["volumeMounts"]] == ["/etc/tuneloop", "/tuneloop/claims/models"]


def test_the_check_refuses_a_task_that_vllm_cannot_serve() -> None:
    (check,) = pod(type_="VLLM")["initContainers"]
    assert check["command"][-4:] == ["--task", "text-classification", "--task", "text-generation"]


def test_the_program_is_told_by_variables_where_the_model_is() -> None:
    found = container(command=["serve"], args=["$(TUNELOOP_MODEL_PATH)"], endpoints={"port": 8000})
    assert (found["command"], found["args"]) == (["serve"], ["$(TUNELOOP_MODEL_PATH)"])
    names = ("TUNELOOP_MODEL_PATH", "TUNELOOP_ARTIFACT_PATH", "TUNELOOP_MODEL_NAME", "TUNELOOP_PORT", "HF_HUB_OFFLINE")
    assert [variables(found)[name] for name in names] == [
        "/tuneloop/artifact/model",
        "/tuneloop/artifact",
        "reviews",
        "8000",
        "1",
    ]


def test_without_a_command_the_images_own_runs() -> None:
    assert not {"command", "args"} & set(container())


@pytest.mark.parametrize("by", ["the object", "the administrator"])
def test_what_is_only_offered_gives_way(by: str) -> None:
    own = [{"name": "USER", "value": "serve"}]
    defaults = PodDefaults.from_wire({"env": own})
    settings = changed(SETTINGS, pod_defaults=defaults) if by == "the administrator" else SETTINGS
    found = container(settings=settings, spec={"env": own} if by == "the object" else {})
    assert variables(found)["USER"] == "serve"
    assert variables(container())["USER"] == "tuneloop"


def test_probes_ask_the_paths_of_the_spec() -> None:
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    default = container()
    assert [default[probe]["httpGet"] for probe in probes] == 3 * [{"path": "/health", "port": "http"}]
    own = container(endpoints={"readinessPath": "/ready", "livenessPath": "/live"})
    assert [own[probe]["httpGet"]["path"] for probe in probes] == ["/ready", "/ready", "/live"]
    assert container(endpoints={"readinessPath": "/ready"})["livenessProbe"]["httpGet"]["path"] == "/ready"


@pytest.mark.parametrize(
    ("endpoints", "ports", "scraped"),
    [
        ({}, {"http": 8080}, ("8080", "/metrics")),
        ({"port": 8000, "metricsPort": 8000}, {"http": 8000}, ("8000", "/metrics")),
        ({"port": 8000, "metricsPort": 9000, "metricsPath": "/m"}, {"http": 8000, "metrics": 9000}, ("9000", "/m")),
    ],
)
def test_ports_have_names_and_annotations_say_where_the_metrics_are(
    endpoints: Fields, ports: dict[str, int], scraped: tuple[str, str]
) -> None:
    made = deployment(endpoints=endpoints)
    assert {port["name"]: port["containerPort"] for port in container_of(pod_in(made))["ports"]} == ports
    annotations = made["spec"]["template"]["metadata"]["annotations"]
    assert (annotations["prometheus.io/port"], annotations["prometheus.io/path"]) == scraped


def test_annotations_of_the_object_win() -> None:
    made = deployment(spec={"annotations": {"prometheus.io/scrape": "false"}})
    assert made["spec"]["template"]["metadata"]["annotations"]["prometheus.io/scrape"] == "false"


@pytest.mark.parametrize(("lifecycle", "sleep", "grace"), [({}, 15, 70), ({"preStop": "1m", "drain": "2m"}, 60, 190)])
def test_a_server_goes_on_before_it_is_asked_to_stop(lifecycle: Fields, sleep: int, grace: int) -> None:
    made = pod(spec={"lifecycle": lifecycle})
    assert container_of(made)["lifecycle"] == {"preStop": {"sleep": {"seconds": sleep}}}
    assert made["terminationGracePeriodSeconds"] == grace


@pytest.mark.parametrize(
    ("runtime", "gpus", "words"),
    [
        ({}, 0, []),
        ({"dtype": "auto"}, 1, []),
        ({"dtype": "fp16", "maxModelTokens": 512}, 0, ["--dtype", "float16", "--max-model-len", "512"]),
        ({"args": ["--max-num-seqs", "64"]}, 4, ["--tensor-parallel-size", "4", "--max-num-seqs", "64"]),
    ],
)
def test_the_command_line_of_vllm(runtime: Fields, gpus: int, words: list[str]) -> None:
    found = container(type_="VLLM", spec={"resources": RESOURCES | {"gpus": gpus}}, **runtime)
    always = ["/tuneloop/artifact/model", "--port", "8080", "--served-model-name", "reviews"]
    assert found["command"] == ["vllm", "serve"]
    assert found["args"] == [*always, *words]


def with_adapters(*, digest: str | None) -> Fields:
    """Return the pod of vLLM with two adapters, one of them on another claim."""
    spec = {"image": IMAGE, "runtime": {"type": "VLLM", "args": ["--max-lora-rank", "128"]}, "resources": RESOURCES}
    deployment = a_deployment(**spec)
    adapters = (
        AdapterReference(name="films", uri="pvc://models/films", digest=None),
        AdapterReference(name="books", uri="pvc://adapters/b/1", digest=None),
    )
    config = server_config(deployment, ArtifactReference(uri="pvc://models/base", digest=digest, adapters=adapters))
    return pod_in(server_deployment(deployment, config, settings=SETTINGS))


def test_vllm_loads_the_adapters_of_the_spec_by_their_names() -> None:
    words = container_of(with_adapters(digest="sha256:" + "a" * 64))["args"]
    assert words[0] == "/tuneloop/artifact/model"
    start = words.index("--enable-lora")
    assert words[start:] == [
        *("--enable-lora", "--max-loras", "2", "--max-lora-rank", "64"),
        *("--lora-modules", "films=/tuneloop/adapters/films/adapter", "books=/tuneloop/adapters/books/adapter"),
        *("--max-lora-rank", "128"),
    ]


def test_a_base_model_without_a_digest_is_the_folder_of_a_pre_trained_model() -> None:
    assert container_of(with_adapters(digest=None))["args"][0] == "/tuneloop/artifact"


def test_the_image_sees_each_adapter_and_nothing_else_of_its_claim() -> None:
    made = with_adapters(digest=None)
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in made["volumes"]
        if "persistentVolumeClaim" in volume
    }
    mounts = {
        mount["mountPath"]: (claims[mount["name"]], mount["subPath"], mount["readOnly"])
        for mount in container_of(made)["volumeMounts"]
        if mount["name"] in claims
    }
    assert mounts == {
        "/tuneloop/artifact": ("models", "base", True),
        "/tuneloop/adapters/films": ("models", "films", True),
        "/tuneloop/adapters/books": ("adapters", "b/1", True),
    }


@pytest.mark.parametrize(
    ("type_", "resources", "limit"),
    [("VLLM", {}, "4096Mi"), ("VLLM", {"sharedMemory": "2Gi"}, "2Gi"), ("Custom", {"sharedMemory": "2Gi"}, "2Gi")],
)
def test_processes_share_memory(type_: str, resources: Fields, limit: str) -> None:
    (shm,) = [volume for volume in pod(type_=type_, spec={"resources": RESOURCES | resources})["volumes"] if volume["name"] == "shm"]  # fmt: skip
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": limit}


def test_a_program_that_does_not_ask_gets_no_shared_memory() -> None:
    assert "shm" not in {volume["name"] for volume in pod()["volumes"]}
