"""Two revisions and their comparator by hand for a LocalNode: small model servers, and the objects that the operator makes for a comparator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local_manifests import config_map
from local_node import eventually

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.model_deployment.comparator import (
    comparator_config,
    comparator_config_map,
    comparator_deployment,
    comparator_service,
)
from tuneloop_operator.desired.model_deployment.service import revision_service
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_cli.local.node import LocalNode

Manifest = dict[str, Any]
STABLE, CANARY = "03ab0000", "7d1f0000"
GOLDEN_SET = "pvc://demo/golden.jsonl"
SETTINGS = OperatorSettings(local=True, default_claim="demo", server_image="none")
# answers each prediction with one label; refuses a Host that is not its own address
SERVER = """
import http.server, json, sys
config = json.load(open(sys.argv[1]))
own = f"{config['host']}:{config['port']}"
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps([{"label": config["label"], "score": 0.9}]).encode()
        self.send_response(200 if self.headers["host"] == own else 403)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *_):
        pass
Server((config["host"], config["port"]), Handler).serve_forever()
"""


def deployment() -> Manifest:
    """Return the ModelDeployment."""
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"model": {"uri": "pvc://demo/artifact"}},
    }


def revision(owner: ModelDeployment, name: str, *, label: str) -> list[Manifest]:
    """Return a revision that answers with a label: its ConfigMap, Deployment and Service."""
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
    service = revision_service(owner, revision=name)
    labels = service["spec"]["selector"]
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": f"reviews-{name}"}}]}
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"reviews-{name}", "namespace": "default", "labels": labels},
        "spec": {"replicas": 1, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    return [config_map(f"reviews-{name}", data={"server.json": json.dumps({"label": label})}), made, service]


def comparator(owner: ModelDeployment) -> list[Manifest]:
    """Return the objects that the operator makes for the comparator of both."""
    config = changed(
        comparator_config(owner, stable=STABLE, canary=CANARY, golden_set=GOLDEN_SET),
        task="text-classification",
        labels=["negative", "positive"],
    )
    return [
        comparator_config_map(owner, config),
        comparator_deployment(owner, config, golden_set=GOLDEN_SET, settings=SETTINGS),
        comparator_service(owner),
    ]


async def compared(node: LocalNode, folder: Path, *, rows: int) -> None:
    """Apply a golden set of so many rows, the deployment, its comparator, and then both revisions."""
    claim = folder / "claims" / "demo"
    claim.mkdir(parents=True)
    row = json.dumps({"inputs": "a fine film", "label": "positive"})
    (claim / "golden.jsonl").write_text(f"{row}\n" * rows)
    stored = await node.cluster.apply(deployment())
    owner = ModelDeployment.from_wire(stored)
    servers = [*revision(owner, STABLE, label="positive"), *revision(owner, CANARY, label="negative")]
    for manifest in (*comparator(owner), *servers):
        await node.cluster.apply(manifest)


def pod_of(node: LocalNode, name: str) -> Manifest | None:
    """Return the pod of a revision, or `comparator`."""
    pods = [pod for pod in node.cluster.all("Pod") if pod["metadata"]["name"].startswith(f"reviews-{name}-")]
    return pods[0] if pods else None


async def ready_pod(node: LocalNode, name: str) -> Manifest:
    """Return the pod once it is ready."""

    def ready() -> Manifest | None:
        pod = pod_of(node, name)
        conditions = (pod or {}).get("status", {}).get("conditions", ())
        return pod if any((found["type"], found["status"]) == ("Ready", "True") for found in conditions) else None

    pod = await eventually(ready, f"a ready pod of {name}")
    assert pod is not None
    return pod


def port_of(pod: Manifest) -> int:
    """Return the port for requests of a pod."""
    return urlsplit(pod["metadata"]["annotations"][LOCAL_URL]).port or 0
