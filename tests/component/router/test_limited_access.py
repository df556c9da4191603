"""`spec.access` from the manifest to the client: a router with the settings, the split and the volume that the operator renders, in front of a real model server."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from artifact import make_artifact
from desired_pods import SETTINGS, a_deployment
from required import skip_or_fail
from router_process import Router, exchange, running
from router_process import settings_file as write_settings
from server_process import Server, configuration, running_fork
from tiny_models import tiny_bert
from waiting import until

from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
from tuneloop_operator.desired.model_deployment.access import router_limits
from tuneloop_operator.desired.model_deployment.router import router_deployment, router_settings
from tuneloop_operator.desired.model_deployment.split import router_split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1 import ModelDeployment

pytestmark = pytest.mark.usefixtures("envoy")
KEY = {"apiKeySecretRef": {"name": "clients", "key": "api-keys"}}
QUESTION = json.dumps({"inputs": "a joy from start to finish"}).encode()
JSON = {"content-type": "application/json"}
RATE = {"rateLimit": {"requestsPerSecond": 0.1, "burst": 3}}


class SecretVolume:
    """A Secret as the kubelet mounts it: a new version is a new folder, to which a link is moved."""

    def __init__(self, folder: Path, volume: dict[str, Any]) -> None:
        (self._item,) = volume["secret"]["items"]
        self._folder = folder
        self._versions = 0
        folder.mkdir()
        (folder / self._item["path"]).symlink_to(f"..data/{self._item['path']}")

    def write(self, **data: str) -> None:
        self._versions += 1
        version = self._folder / f"..{self._versions}"
        version.mkdir()
        (version / self._item["path"]).write_text(data[self._item["key"].replace("-", "_")])
        link = self._folder / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self._folder / "..data")


@dataclass(frozen=True)
class Limited:
    """A router as the operator renders it."""

    router: Router
    secret: SecretVolume | None

    def ask(self, path: str = "/predict", **headers: str) -> tuple[int, dict[str, str], Any]:
        status, found, text = exchange(self.router.port, "POST", path, body=QUESTION, headers=JSON | headers)
        return status, found, json.loads(text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    make_artifact(folder / "artifact", tiny_bert(folder / "bert"))
    with running_fork(configuration(folder / "artifact"), tmp_path_factory.mktemp("running")) as found:
        yield found


def rendered(deployment: ModelDeployment, server: Server, folder: Path) -> tuple[Path, SecretVolume | None]:
    """Write the files of the router's pod, with the places and ports of this machine. Without an operator the split stays."""
    rollout = RolloutStatus.from_wire(
        {
            "strategy": "Recreate",
            "stable": "5a",
            "split": {"generation": 1, "weights": [{"revision": "5a", "weight": 100}]},
        }
    )
    port = int(server.url.rpartition(":")[2])
    limits = router_limits(deployment, routers=1)
    split = router_split(deployment, rollout, limits=limits, address_of=lambda _: ("127.0.0.1", port))
    pod = router_deployment(deployment, image="router:1", replicas=1, settings=SETTINGS)["spec"]["template"]["spec"]
    settings = router_settings(deployment, SETTINGS).to_wire()
    keys, secret = settings.get("apiKeysPath"), None
    if keys:
        (volume,) = [found for found in pod["volumes"] if "secret" in found]
        (mount,) = [found for found in pod["containers"][0]["volumeMounts"] if found["name"] == volume["name"]]
        secret = SecretVolume(folder / "volume", volume)
        keys = str(folder / "volume" / Path(keys).relative_to(mount["mountPath"]))
    return write_settings(folder, split.to_wire(), deployment=settings["deployment"], apiKeysPath=keys), secret


@pytest.fixture(scope="module")
def limited(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    settings, secret = rendered(a_deployment(access=KEY), server, tmp_path_factory.mktemp("router"))
    assert secret is not None
    secret.write(api_keys="first-key\nsecond-key\n")
    with running(settings) as router:
        found = Limited(router, secret)
        until(lambda: found.ask(x_api_key="first-key")[0] == 200, seconds=30, what="the server is found")
        yield found


def test_a_good_key_is_answered_in_either_header_and_no_other(limited: Limited) -> None:
    for headers in ({"authorization": "Bearer first-key"}, {"x-api-key": "second-key"}):
        assert limited.ask(**headers)[0] == 200
    for headers in (
        {},
        {"x-api-key": "first-ke"},
        {"authorization": "Bearer FIRST-KEY"},
        {"authorization": "first-key2"},
    ):
        assert limited.ask(**headers)[0] == 401


@pytest.mark.parametrize(("path", "shape"), [
    pytest.param("/predict", str, id="Hugging Face"),
    pytest.param("/v2/models/reviews/infer", str, id="Open Inference Protocol"),
    pytest.param("/v1/embeddings", {"message": str, "type": str, "param": type(None), "code": str}, id="OpenAI"),
])  # fmt: skip
def test_a_refusal_has_the_shape_of_the_protocol(limited: Limited, path: str, shape: Any) -> None:
    status, headers, body = limited.ask(path)
    assert (status, headers["www-authenticate"], list(body)) == (401, "Bearer", ["error"])
    found = body["error"]
    assert (type(found) if shape is str else {name: type(value) for name, value in found.items()}) == shape
    assert "Authorization: Bearer KEY" in json.dumps(found)


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/healthz", 200), ("GET", "/readyz", 200), ("POST", "/healthz", 401), ("GET", "/metrics", 401), ("GET", "/info", 401), ("GET", "/healthz/..", 401),
    ("GET", "/v1/models", 401), ("GET", "/v2/health/ready", 401),
])  # fmt: skip
def test_health_needs_no_key_and_all_else_does(limited: Limited, method: str, path: str, status: int) -> None:
    assert exchange(limited.router.port, method, path, headers={})[0] == status


def test_openai_passes_its_key_and_reads_the_refusal(limited: Limited) -> None:
    try:
        openai = importlib.import_module("openai")
    except ImportError as missing:
        skip_or_fail(f"{missing.name} is not installed (make setup)")
    for key, opens in (("first-key", True), ("another", False)):
        with openai.OpenAI(base_url=f"{limited.router.url}/v1", api_key=key, max_retries=0) as client:
            if opens:
                assert client.embeddings.create(model="reviews", input="a").data[0].embedding
                continue
            with pytest.raises(openai.AuthenticationError) as refused:
                client.embeddings.create(model="reviews", input="a")
            assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")


def test_a_changed_secret_is_taken_up_without_a_restart_and_no_key_is_logged(limited: Limited) -> None:
    assert limited.secret is not None
    limited.secret.write(api_keys="second-key\nthird-key\n")
    try:
        until(lambda: limited.ask(x_api_key="third-key")[0] == 200, seconds=20, what="the new key opens")
        assert [limited.ask(x_api_key=key)[0] for key in ("first-key", "second-key")] == [401, 200]
    finally:
        limited.secret.write(api_keys="first-key\nsecond-key\n")
        until(lambda: limited.ask(x_api_key="first-key")[0] == 200, seconds=20, what="the first key opens again")
    assert limited.router.process.poll() is None
    log = limited.router.log.read_text()
    assert not [key for key in ("first-key", "second-key", "third-key", "another") if key in log]


def test_without_the_file_nobody_is_let_in_and_once_it_is_there_its_keys_are(server: Server, tmp_path: Path) -> None:
    settings, secret = rendered(a_deployment(access=KEY), server, tmp_path)
    assert secret is not None
    with running(settings) as router:
        found = Limited(router, secret)
        assert [found.ask(**headers)[0] for headers in ({}, {"x-api-key": "first-key"})] == [401, 401]
        assert "no key is valid" in router.log.read_text()
        secret.write(api_keys="first-key\n")
        until(lambda: found.ask(x_api_key="first-key")[0] == 200, seconds=20, what="the key opens")


def test_a_rate_is_429_with_retry_after_in_the_shape_of_the_protocol(server: Server, tmp_path: Path) -> None:
    settings, secret = rendered(a_deployment(access=RATE), server, tmp_path)
    assert secret is None
    with running(settings) as router:
        answers = [Limited(router, None).ask("/v1/embeddings") for _ in range(5)]
    assert [status for status, *_ in answers][3:] == [429, 429]
    _, headers, body = answers[-1]
    assert (headers["retry-after"], body["error"]["code"]) == ("1", "rate_limit_exceeded")
