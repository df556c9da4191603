"""A routed ModelDeployment by hand for a LocalNode: small model servers as revisions, a router before them, and the session's part of its long poll."""

from __future__ import annotations

import asyncio
import copy
import http.client
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local_manifests import config_map
from local_node import eventually

from tuneloop_api.contract.router import RoutedRevision, RouterSplit
from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_cli.local.cluster.object_files import replace_file
from tuneloop_cli.local.own_port import served_to_own_processes
from tuneloop_operator.desired.model_deployment.router import router_config_map, router_deployment
from tuneloop_operator.desired.model_deployment.service import routed_service
from tuneloop_operator.routers.local_routers import LocalRouters
from tuneloop_operator.routers.server import RouterServer
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tuneloop_cli.local.node import LocalNode
    from tuneloop_operator.state.router_report import RouterReport

Manifest = dict[str, Any]
TOKEN = "s3cret"
# answers with its name, after so many seconds as the path says; refuses a Host that is not its own address; prints what happens to it
SERVER = """
import http.server, json, signal, sys, threading, time
config = json.load(open(sys.argv[1]))
host = f"{config['host']}:{config['port']}"
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        known = self.headers["host"] == host
        seconds = float(self.path.strip("/")) if known and self.path.strip("/").isdigit() else 0
        if seconds:
            print("begun", flush=True)
        time.sleep(seconds)
        body = config["name"].encode()
        self.send_response(200 if known else 403)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if seconds:
            print("answered", flush=True)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *_):
        pass
server = Server((config["host"], config["port"]), Handler)
def end(*_):
    print("told to end", flush=True)
    threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, end)
server.serve_forever()
"""


def deployment() -> Manifest:
    """Return the ModelDeployment."""
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"model": {"uri": "pvc://demo/artifact"}, "rollout": {"strategy": "Canary"}},
    }


def revision(name: str) -> list[Manifest]:
    """Return a revision: its ConfigMap and its Deployment."""
    probe = {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "failureThreshold": 20}
    container = {
        "name": "server",
        "image": "none",
        "command": ["python", "-S", "-c", SERVER, "/etc/tuneloop/server.json"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/tuneloop"}],
        "startupProbe": probe,
        "readinessProbe": probe,
    }
    labels = {"tuneloop.dev/deployment": "reviews", "tuneloop.dev/revision": name}
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": f"reviews-{name}"}}]}
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"reviews-{name}", "namespace": "default", "labels": labels},
        "spec": {"replicas": 1, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    return [config_map(f"reviews-{name}", data={"server.json": f'{{"name": "{name}"}}'}), made]


def router(url: str) -> list[Manifest]:
    """Return the router's objects, as the operator makes them, and the Service that users call. url: where the router asks for its split."""
    manifest = deployment()
    del manifest["spec"]["rollout"]
    manifest["metadata"]["uid"] = "u1"
    of = ModelDeployment.from_wire(manifest)
    settings = OperatorSettings(local=True, router_url=url)
    start = split(1, {"stable": 9}, stable=100)
    made = [
        router_config_map(of, start, settings=settings),
        router_deployment(of, image="none", replicas=1, settings=settings),
        routed_service(of, stable="stable"),
    ]
    for found in made:
        del found["metadata"]["ownerReferences"]
    return made


def split(generation: int, ports: dict[str, int], **weights: int) -> RouterSplit:
    """Return a split of revisions at these ports of this machine, the stable one last."""
    revisions = [
        RoutedRevision(name=name, host="127.0.0.1", port=ports.get(name, 9), weight=weight)
        for name, weight in weights.items()
    ]
    return RouterSplit(generation=generation, deployment="reviews", revisions=revisions)


@dataclass
class Routed:
    """The deployment in a node."""

    node: LocalNode
    splits: RouterServer
    wanted: dict[str, Any] = field(default_factory=dict)
    """The splits that the server gives."""
    reports: list[RouterReport] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the address that users call; empty while there is none."""
        (service,) = self.node.cluster.all("Service")
        return service["metadata"].get("annotations", {}).get(LOCAL_URL, "")

    def pod(self, name: str) -> Manifest:
        """Return the pod of a revision, or `router`."""
        (pod,) = [pod for pod in self.node.cluster.all("Pod") if pod["metadata"]["name"].startswith(f"reviews-{name}-")]
        return pod

    def ports(self) -> dict[str, int]:
        """Return the ports of the revisions' servers."""
        pods = [pod for pod in self.node.cluster.all("Pod") if "tuneloop.dev/revision" in pod["metadata"]["labels"]]
        found = {
            pod["metadata"]["labels"]["tuneloop.dev/revision"]: pod["metadata"]["annotations"].get(LOCAL_URL)
            for pod in pods
        }
        return {name: urlsplit(url).port or 0 for name, url in found.items() if url}

    async def publish(self, generation: int, **weights: int) -> None:
        """Want this split; return once the router reports it in force."""
        self.wanted["split"] = split(generation, self.ports(), **weights)
        self.splits.changed("default", "reviews")
        await eventually(
            lambda: self.reports and self.reports[-1].in_force == generation, f"generation {generation} in force"
        )


@asynccontextmanager
async def routed(node: LocalNode, *revisions: str) -> AsyncIterator[Routed]:
    """Apply the deployment with these revisions; yields once all pods are ready."""
    wanted: dict[str, Any] = {"split": split(1, {}, stable=100)}
    reports: list[RouterReport] = []
    server = RouterServer(
        authenticator=LocalRouters(TOKEN),
        split_of=lambda _, __: copy.deepcopy(wanted["split"]),
        on_report=lambda _, __, report: reports.append(report),
    )
    node.folders.secrets.mkdir(mode=0o700, exist_ok=True)
    replace_file(node.folders.secrets / "token", TOKEN.encode(), mode=0o600)
    listening = socket.create_server(("127.0.0.1", 0))
    async with served_to_own_processes(server.application(), listening):
        port = listening.getsockname()[1]
        servers = [manifest for name in revisions for manifest in revision(name)]
        for manifest in (deployment(), *servers, *router(f"http://127.0.0.1:{port}")):
            await node.cluster.apply(manifest)
        found = Routed(node, server, wanted, reports)

        def are_ready() -> bool:
            made = node.cluster.all("Deployment")
            return len(made) == 1 + len(revisions) and all(
                manifest["status"].get("readyReplicas") == 1 for manifest in made
            )

        await eventually(are_ready, "all pods ready")
        await eventually(lambda: found.url, "the address")
        yield found


async def ask(url: str, path: str = "/", **headers: str) -> tuple[int, str]:
    """Return status and text of an answer; a blocking client in a thread of its own."""
    return await asyncio.to_thread(_ask, url, path, headers)


def _ask(url: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def runtime_folder(root: Path, pod: Manifest) -> str:
    """Return the folder of a router's sockets."""
    return (root / "runtime" / pod["metadata"]["uid"]).read_text()
