"""Server pods: a Deployment of small real HTTP servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.request

import pytest
from local_manifests import config_map
from local_node import eventually

from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_cli.local.kubelet.leftovers import clear_server_status
from tuneloop_cli.local.node import LocalNode
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

SECONDS = 20.0
# answers 503 at a path whose file is in the folder of signals, else 200; ends at once if the file `broken` is there
SERVER = """
import http.server, json, os, pathlib, sys
config = json.load(open(sys.argv[1]))
signals = pathlib.Path(os.environ["SIGNALS"])
if (signals / "broken").exists():
    sys.exit("the model is damaged")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if (signals / self.path.strip("/")).exists() else 200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((config["host"], config["port"]), Handler).serve_forever()
"""


def probe(path: str, *, failures: int = 1) -> dict:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": failures,
    }


def deployment(signals, replicas: int = 1) -> dict:
    container = {
        "name": "server",
        "image": "none",
        "command": ["python", "-S", "-c", SERVER, "/etc/tuneloop/server.json"],
        "env": [{"name": "SIGNALS", "value": str(signals)}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/tuneloop"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "startupProbe": probe("/started", failures=20),
        "readinessProbe": probe("/unready"),
        "livenessProbe": probe("/dead"),
    }
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": "server"}}]}
    template = {"metadata": {"labels": {"app": "server"}}, "spec": pod | {"terminationGracePeriodSeconds": 2}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "server"}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server", "namespace": "default"},
        "spec": spec,
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "server", "namespace": "default"},
    "spec": {"selector": {"app": "server"}, "ports": [{"port": 80}]},
}


def play(tmp_path, story, *, replicas: int = 1, serve_port: int = 0):
    async def whole():
        signals = tmp_path / "signals"
        signals.mkdir(exist_ok=True)
        async with LocalNode(tmp_path / "folder", serve_port=serve_port) as node:
            node.start()
            for manifest in (config_map("server", data={"server.json": "{}"}), SERVICE, deployment(signals, replicas)):
                await node.cluster.apply(manifest)
            try:
                return await story(node, signals)
            finally:
                await node.close(grace=False)

    return asyncio.run(whole())


async def ready(node, count: int = 1):
    def are_ready():
        (found,) = node.cluster.all("Deployment")
        return found["status"].get("readyReplicas", 0) == count

    await eventually(are_ready, f"{count} ready servers")


def condition(node, kind: str) -> dict:
    (found,) = node.cluster.all("Deployment")
    return next((item for item in found["status"].get("conditions", []) if item["type"] == kind), {})


def address(node) -> str:
    (service,) = node.cluster.all("Service")
    return service["metadata"].get("annotations", {}).get(LOCAL_URL, "")


async def ask(url: str) -> str:
    return await asyncio.to_thread(lambda: urllib.request.urlopen(f"{url}/pid", timeout=5).read().decode())


def test_a_server_is_reached_where_its_service_says(tmp_path):
    async def story(node, signals):
        await ready(node)
        url = await eventually(lambda: address(node), "the address")
        assert url.startswith("http://127.0.0.1:")
        assert await ask(url)
        assert condition(node, "Available")["status"] == "True"
        return url

    play(tmp_path, story)
    (pod,) = ObjectFiles(tmp_path / "folder").read_all("Pod")
    assert pod["status"]["podIP"] == "127.0.0.1"


def test_replicas_listen_on_ports_of_their_own_the_first_on_the_one_asked_for(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def story(node, signals):
        await ready(node, 2)
        urls = {pod["metadata"]["annotations"][LOCAL_URL] for pod in node.cluster.all("Pod")}
        assert f"http://127.0.0.1:{port}" in urls
        assert len({await ask(url) for url in urls}) == 2
        (found,) = node.cluster.all("Deployment")
        await node.cluster.apply(found | {"spec": found["spec"] | {"replicas": 1}})
        await eventually(lambda: len(node.cluster.all("Pod")) == 1, "one pod")
        await ready(node)

    play(tmp_path, story, replicas=2, serve_port=port)


def test_a_server_that_is_not_ready_gets_no_address(tmp_path):
    async def story(node, signals):
        await ready(node)
        await eventually(lambda: address(node), "the address")
        (signals / "unready").touch()
        await ready(node, 0)
        await eventually(lambda: not address(node), "the end of the address")
        (signals / "unready").unlink()
        await ready(node)
        (pod,) = node.cluster.all("Pod")
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0

    play(tmp_path, story)


@pytest.mark.parametrize("how", ["killed", "dead"])
def test_a_server_that_ends_or_hangs_is_started_again_in_the_same_place(tmp_path, how):
    async def story(node, signals):
        await ready(node)
        url = await eventually(lambda: address(node), "the address")
        before = await ask(url)
        if how == "killed":
            os.kill(int(before), signal.SIGKILL)
        else:
            (signals / "dead").touch()
        await ready(node, 0)
        (signals / "dead").unlink(missing_ok=True)
        await ready(node)
        assert await eventually(lambda: address(node), "the address") == url
        assert await ask(url) != before
        (pod,) = node.cluster.all("Pod")
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 1

    play(tmp_path, story)


def test_the_last_message_of_a_server_stands_in_the_deployment(tmp_path):
    async def story(node, signals):
        message = await eventually(lambda: condition(node, "Progressing").get("message"), "the message")
        assert message.endswith("ended with exit code 1: the model is damaged")
        assert condition(node, "Progressing")["status"] == "False"
        (signals / "broken").unlink()
        await ready(node)
        assert condition(node, "Progressing")["status"] == "True"

    (tmp_path / "signals").mkdir()
    (tmp_path / "signals" / "broken").touch()
    play(tmp_path, story)


def test_between_sessions_nothing_claims_to_answer(tmp_path):
    async def story(node, signals):
        await ready(node)
        await eventually(lambda: address(node), "the address")

    play(tmp_path, story)
    files = ObjectFiles(tmp_path / "folder")
    (stored,) = files.read_all("Deployment")
    (service,) = files.read_all("Service")
    assert stored["status"] == {}
    assert LOCAL_URL not in json.dumps(service)

    async def again(node, signals):
        await ready(node)
        assert len(node.cluster.all("Pod")) == 1

    play(tmp_path, again)


def test_a_deployment_remembers_only_which_revision_it_served(tmp_path):
    from tuneloop_cli.local.cluster.cluster import LocalCluster

    cluster = LocalCluster(tmp_path)
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"model": {"uri": "pvc://demo/artifact"}},
    }
    created = asyncio.run(cluster.create(manifest))
    stable = {"revision": "abc", "digest": "sha256:1", "uri": "pvc://demo/artifact", "readyReplicas": 1}
    asyncio.run(cluster.patch_status(created, {"phase": "Ready", "url": "http://127.0.0.1:1", "stable": stable}))
    clear_server_status(cluster)
    (kept,) = cluster.all("ModelDeployment")
    assert kept["status"] == {"stable": {"revision": "abc", "digest": "sha256:1", "uri": "pvc://demo/artifact"}}
