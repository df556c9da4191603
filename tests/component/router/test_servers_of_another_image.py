"""`runtime.type: Custom` with a server that nobody of ours wrote: it is run as its pod is rendered, and a router divides requests between it and one of ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import foreign_server
import httpx
import pytest
from artifact import make_artifact
from desired_pods import SETTINGS, a_deployment
from foreign_server import ForeignServer
from free_ports import free_port
from router_process import ROOT, exchange
from tiny_models import tiny_bert
from waiting import until

from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
from tuneloop_operator.desired.model_deployment.endpoints import ServerEndpoints, endpoints_of
from tuneloop_operator.desired.model_deployment.serving import (
    ArtifactReference,
    server_config,
    server_config_map,
    server_deployment,
)
from tuneloop_operator.desired.model_deployment.split import router_split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1 import ModelDeployment

QUESTION = json.dumps({"inputs": "a joy from start to finish"}).encode()
JSON = {"content-type": "application/json"}
WORDS = ["--model-dir", "$(TUNELOOP_MODEL_PATH)", "--task", "text-classification", "--port", "$(TUNELOOP_PORT)"]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder, tiny_bert(tmp_path_factory.mktemp("base")))
    return folder


@pytest.fixture(scope="module")
def deployment() -> ModelDeployment:
    """The deployment, as docs/runtimes.md has it, with a port of this machine."""
    runtime = {"type": "Custom", "command": ["hf-serve"], "args": WORDS, "endpoints": {"port": free_port()}}
    return a_deployment(image="registry.example/hf-serve:0.1.0", runtime=runtime)


@pytest.fixture(scope="module")
def pod(deployment: ModelDeployment) -> dict[str, Any]:
    config = server_config(deployment, ArtifactReference(uri="pvc://models/artifact", digest=None))
    found: dict[str, Any] = server_deployment(deployment, config, settings=SETTINGS)["spec"]["template"]
    return found


@pytest.fixture(scope="module")
def server(pod: dict[str, Any], artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignServer]:
    folder = tmp_path_factory.mktemp("pod")
    with foreign_server.running(
        pod["spec"], program=foreign_server.hf_serve(), artifact=artifact, folder=folder
    ) as found:
        yield found


def test_the_probes_pass(server: ForeignServer) -> None:
    assert [server.probe(name) for name in ("startupProbe", "readinessProbe", "livenessProbe")] == [200, 200, 200]


def test_prometheus_finds_the_metrics_where_the_annotations_say(pod: dict[str, Any], server: ForeignServer) -> None:
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(server.port())
    assert server.get(annotations["prometheus.io/path"]) == 200


def test_it_has_loaded_the_model_of_the_artifact(server: ForeignServer) -> None:
    answer = httpx.post(f"http://127.0.0.1:{server.port()}/predict", content=QUESTION, headers=JSON, timeout=60).json()
    assert {found["label"] for found in answer} <= {"negative", "positive"}
    assert answer


@pytest.fixture
def shares(deployment: ModelDeployment, server: ForeignServer, stage: Any) -> Any:
    """Publishes the operator's split between the other image, which is the canary, and a server of ours."""
    ours = stage.models["stable"].port

    def publish(*, canary: int) -> None:
        weights = [{"revision": "c0", "weight": canary}, {"revision": "5a", "weight": 100 - canary}]
        memory = {"strategy": "Canary", "stable": "5a", "canary": "c0"}
        generation = next(stage.generations)
        rollout = RolloutStatus.from_wire(memory | {"split": {"generation": generation, "weights": weights}})
        split = router_split(
            deployment,
            rollout,
            address_of=lambda name: ("127.0.0.1", server.port() if name == "c0" else ours),
            endpoints_of=lambda name: endpoints_of(deployment.spec) if name == "c0" else ServerEndpoints(),
        )
        stage.operator.publish(split.to_wire())
        stage.operator.wait_until_in_force(generation)

    return publish


def revision_of(stage: Any) -> str:
    status, headers, _ = exchange(stage.router.port, "POST", "/predict", body=QUESTION, headers=JSON)
    assert status == 200
    return headers["x-tuneloop-revision"]


def test_a_router_gives_it_its_share_of_the_requests(shares: Any, stage: Any) -> None:
    shares(canary=100)
    until(lambda: revision_of(stage) == "reviews-c0", seconds=20, what="the other image answers through the router")
    status, _, text = exchange(stage.router.port, "POST", "/predict", body=QUESTION, headers=JSON)
    assert (status, json.loads(text)[0]["label"]) in {(200, "negative"), (200, "positive")}
    shares(canary=50)
    until(lambda: revision_of(stage) == "reviews-5a", seconds=20, what="ours has its share, too")
    until(lambda: revision_of(stage) == "reviews-c0", seconds=20, what="and so has the other image")


def test_requests_go_to_stable_while_it_does_not_answer(shares: Any, stage: Any, server: ForeignServer) -> None:
    shares(canary=100)
    until(lambda: revision_of(stage) == "reviews-c0", seconds=20, what="the other image answers through the router")
    server.process.send_signal(signal.SIGSTOP)
    try:
        # a request that is under way there already waits for it; further ones go to stable once its health checks have failed
        stat = "cluster.reviews/reviews-c0.membership_healthy"
        until(lambda: stage.router.stat(stat) == 0, seconds=20, what="no server of it is healthy")
        assert revision_of(stage) == "reviews-5a"
    finally:
        server.process.send_signal(signal.SIGCONT)
    until(lambda: revision_of(stage) == "reviews-c0", seconds=20, what="it is back")


def test_the_check_before_it_finds_a_damaged_artifact(
    deployment: ModelDeployment, pod: dict[str, Any], artifact: Path, tmp_path: Path
) -> None:
    """The init container, as it is rendered, with the configuration that is mounted into it."""
    config = server_config(deployment, ArtifactReference(uri="pvc://models/artifact", digest=None))
    document = json.loads(server_config_map(deployment, config)["data"]["server.json"])
    (tmp_path / "server.json").write_text(json.dumps(document | {"artifactPath": str(artifact)}))
    (check,) = pod["spec"]["initContainers"]
    command = [sys.executable, *check["command"][1:-1], str(tmp_path / "server.json")]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/api:{ROOT}/server"}
    assert subprocess.run(command, check=False, env=environment).returncode == 0
    weights = artifact / "model" / "model.safetensors"
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[:-1] + b"?")
        damaged = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    finally:
        weights.write_bytes(whole)
    assert damaged.returncode == 74
    assert "model/model.safetensors: found SHA-256" in damaged.stderr


def test_it_ends_when_it_is_asked_to(server: ForeignServer) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) in {0, -signal.SIGTERM}
