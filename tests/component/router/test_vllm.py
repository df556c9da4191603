"""`runtime.type: VLLM` with vLLM itself: its pod as it is rendered, a decoder with two adapters of ours, its metrics by our names, and a router before it."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import foreign_server
import httpx
import pytest
from adapter_artifacts import adapter_artifact
from desired_pods import SETTINGS, a_deployment
from free_ports import free_port
from generating_artifacts import PlainTransformers, tiny_decoder
from peft import PeftModel
from router_process import exchange
from vllm_server import SECONDS, vllm
from waiting import until

from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
from tuneloop_operator.desired.model_deployment.endpoints import ServerEndpoints, endpoints_of
from tuneloop_operator.desired.model_deployment.serving import (
    AdapterReference,
    ArtifactReference,
    server_config,
    server_deployment,
)
from tuneloop_operator.desired.model_deployment.split import router_split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foreign_server import ForeignServer

    from tuneloop_api.v1alpha1 import ModelDeployment

pytestmark = [pytest.mark.full, pytest.mark.timeout(2 * SECONDS)]

NAMES = ("films", "books")
MOST, WINDOW = 12, 256
GOLDEN = Path(__file__).parents[2] / "golden/vllm/metrics-0.32.0.txt"
ARGS = ["--enforce-eager", "--host", "127.0.0.1"]
CHAT = [{"role": "user", "content": "Who was Ada?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("artifacts")
    tiny_decoder(made / "base", "wide-llama")
    for seed, name in enumerate(NAMES, start=1):
        base = made / "base/model"
        adapter_artifact(made / name, base, seed=seed, labels=(), task="text-generation", max_tokens=WINDOW)
    return made


@pytest.fixture(scope="module")
def deployment() -> ModelDeployment:
    runtime = {"type": "VLLM", "dtype": "fp32", "maxModelTokens": WINDOW, "args": ARGS}
    cache = {"name": "VLLM_CPU_KVCACHE_SPACE", "value": "1"}
    return a_deployment(image="registry.example/vllm-cpu:0.32.0", runtime=runtime, env=[cache])


@pytest.fixture(scope="module")
def pod(deployment: ModelDeployment) -> dict[str, Any]:
    """The pod as it is rendered, with a port of this machine."""
    adapters = tuple(AdapterReference(name=name, uri=f"pvc://models/{name}", digest=None) for name in NAMES)
    artifact = ArtifactReference(uri="pvc://models/base", digest="sha256:" + 64 * "a", adapters=adapters)
    config = server_config(deployment, artifact)
    found: dict[str, Any] = server_deployment(deployment, config, settings=SETTINGS)["spec"]["template"]
    (container,) = found["spec"]["containers"]
    (port,) = container["ports"]
    port["containerPort"] = free_port()
    container["args"][container["args"].index("--port") + 1] = str(port["containerPort"])
    return found


@pytest.fixture(scope="module")
def server(pod: dict[str, Any], folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignServer]:
    adapters = {name: folder / name for name in NAMES}
    with foreign_server.running(
        pod["spec"],
        program=vllm(),
        artifact=folder / "base",
        adapters=adapters,
        folder=tmp_path_factory.mktemp("pod"),
    ) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: ForeignServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port()}", timeout=120) as made:
        yield made


def merged(folder: Path, name: str) -> PlainTransformers:
    """Return the model that a name stands for, with its adapter merged into the weights, by PEFT and transformers alone."""
    plain = PlainTransformers(folder / "base")
    if name != "reviews":
        plain.model = PeftModel.from_pretrained(plain.model, folder / name / "adapter").merge_and_unload().eval()
    return plain


def test_the_probes_pass(server: ForeignServer) -> None:
    assert [server.probe(name) for name in ("startupProbe", "readinessProbe", "livenessProbe")] == [200, 200, 200]


@pytest.mark.parametrize("name", ["reviews", *NAMES])
def test_each_name_makes_the_tokens_of_its_merged_model(client: httpx.Client, folder: Path, name: str) -> None:
    asked = {"model": name, "prompt": "Ada", "max_tokens": MOST, "temperature": 0, "return_token_ids": True}
    (choice,) = client.post("/v1/completions", json=asked).json()["choices"]
    assert choice["token_ids"] == merged(folder, name).tokens("Ada", most=MOST)


def test_a_chat_with_an_adapter_comes_as_a_stream(client: httpx.Client, folder: Path) -> None:
    asked = {"model": "films", "messages": CHAT, "max_tokens": MOST, "temperature": 0, "stream": True}
    events = client.post("/v1/chat/completions", json=asked).text.split("\n\n")
    assert events[-2] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    # an answer that its limit cuts inside a character ends before the character, where transformers writes U+FFFD
    assert merged(folder, "films").text(CHAT, most=MOST).rstrip("\ufffd") == text.rstrip("\ufffd")
    assert len(chunks) > 2


def test_prometheus_finds_the_metrics_that_the_recording_rules_ask_for(
    client: httpx.Client, pod: dict[str, Any], server: ForeignServer
) -> None:
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == "/metrics"
    page = client.get("/metrics").text
    assert types_of(page).items() >= types_of(GOLDEN.read_text()).items()
    assert labels_of(page).items() >= labels_of(GOLDEN.read_text()).items()
    assert re.search(r"vllm:generation_tokens_total\{.*\} [1-9]", page)


def types_of(page: str) -> dict[str, str]:
    """Return the type of each metric of vLLM on a page."""
    return dict(re.findall(r"^# TYPE (vllm:\w+) (\w+)$", page, re.MULTILINE))


def labels_of(page: str) -> dict[str, set[str]]:
    """Return the labels of each series of vLLM on a page."""
    return {
        name: set(re.findall(r"(\w+)=", labels))
        for name, labels in re.findall(r"^(vllm:\w+)\{(.*)\} ", page, re.MULTILINE)
    }


def test_a_router_gives_it_its_share_and_names_the_revision(
    deployment: ModelDeployment, server: ForeignServer, stage: Any, folder: Path
) -> None:
    ours, generation = stage.models["stable"].port, next(stage.generations)
    weights = [{"revision": "c0", "weight": 100}, {"revision": "5a", "weight": 0}]
    memory = {"strategy": "Canary", "stable": "5a", "canary": "c0"}
    split = router_split(
        deployment,
        RolloutStatus.from_wire(memory | {"split": {"generation": generation, "weights": weights}}),
        address_of=lambda name: ("127.0.0.1", server.port() if name == "c0" else ours),
        endpoints_of=lambda name: endpoints_of(deployment.spec) if name == "c0" else ServerEndpoints(),
    )
    stage.operator.publish(split.to_wire())
    stage.operator.wait_until_in_force(generation)
    body = {"model": "books", "prompt": "Ada", "max_tokens": MOST, "temperature": 0, "return_token_ids": True}

    def asked() -> tuple[str | None, Any]:
        headers = {"content-type": "application/json"}
        status, found, text = exchange(
            stage.router.port, "POST", "/v1/completions", body=json.dumps(body).encode(), headers=headers
        )
        return (found.get("x-tuneloop-revision"), text) if status == 200 else (None, text)

    until(lambda: asked()[0] == "reviews-c0", seconds=30, what="vLLM answers through the router")
    (choice,) = json.loads(asked()[1])["choices"]
    assert choice["token_ids"] == merged(folder, "books").tokens("Ada", most=MOST)


def test_it_ends_when_it_is_asked_to(server: ForeignServer) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) in {0, -signal.SIGTERM}
