"""The story on a real one-node Kubernetes, as its users have it: chart, Prometheus Operator, a Prometheus, claim, pods, routers: `NodePlace`. Needs root."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import cluster_monitoring
import cluster_prometheus
from cluster import binaries
from cluster.development import python_mounts
from cluster.node import NodeCluster
from demo_cluster import NAMESPACE as HOME
from demo_cluster import ROOT, DemoError, Shell, Stopwatch, fill_claim, install, prepared, restrict
from images import targets

from demo_loop.place import CLAIM, MODEL, wait_for
from demo_loop.recorder import fetched
from tuneloop_cli.lineage.reading import of_cluster
from tuneloop_operator.cluster.api_server import ApiServer
from tuneloop_operator.errors import ClusterUnavailable
from tuneloop_operator.names import COMPONENT_LABEL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from tuneloop_cli.lineage.documents import Documents
    from tuneloop_operator.cluster import Kind, Manifest

STATE = ROOT / ".tuneloop" / "loop-node"
"""Of the node. It is not that of `make demo-cluster`, whose node stays; the folder's path is short, as sockets need it."""
NAMESPACE = "default"
_POLL_SECONDS = 1.0
_NOTHING_YET = object()
_SCRAPE = "5s"
"""As in local mode."""


class NodePlace:
    """A node of the story's own, as an async context manager: it ends with the story."""

    def __init__(self, folder: Path) -> None:
        """folder: of the files of the story."""
        self.folder = folder
        self.claim = folder / "claims" / CLAIM
        self.logs = STATE / "logs"
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the node with all that the story needs. Nothing else runs meanwhile. Raises ClusterError, ImageError, DemoError."""
        async with AsyncExitStack() as stack:
            self._cluster, shell = _node(stack, Stopwatch())
            fill_claim(self.claim, MODEL)
            self._cluster.share(CLAIM, self.claim, namespace=NAMESPACE)
            for namespace in (HOME, NAMESPACE):
                restrict(shell, namespace)
            monitoring = cluster_monitoring.monitoring(self._cluster, home=HOME)
            install(shell, values())
            (self.folder / "prometheus").mkdir()
            self._prometheus = stack.enter_context(
                cluster_monitoring.scraping_by_monitors(monitoring, self.folder / "prometheus")
            )
            os.environ["KUBECONFIG"] = str(self._cluster.kubeconfig)  # whom `ApiServer.connect` asks
            self._server = await ApiServer.connect()
            stack.push_async_callback(self._server.close)
            stack.callback(self._keep_report, shell)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the node; its logs stay."""
        await self._stack.aclose()

    async def submit(self, *manifests: Manifest) -> None:
        """Run `kubectl apply`; with the deployment comes the Secret that its feedback needs. Raises DemoError."""
        needed = [feedback_secret(found) for found in manifests if "feedback" in found["spec"]]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*needed, *manifests]})
        applied = self._cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=text)
        if applied.returncode != 0:
            raise DemoError(f"kubectl apply ended with {applied.returncode}: {applied.stderr.strip()}")

    def watch(self, kind: Kind, name: str) -> AsyncGenerator[Manifest | None, None]:
        """Look each second, and yield what has changed."""
        return changes(partial(self._server.get, kind=kind, namespace=NAMESPACE, name=name), pause=_POLL_SECONDS)

    async def address(self, deployment: str) -> str:
        """Return the address of its Service, once that leads to routers."""
        await wait_for(self, "ModelDeployment", deployment, until=_is_ready)
        service = await wait_for(
            self, "Service", deployment, until=lambda found: COMPONENT_LABEL in found["spec"]["selector"]
        )
        return f"http://{service['spec']['clusterIP']}"

    async def documents(self) -> Documents:
        """Return the objects of the namespace."""
        return await of_cluster(NAMESPACE)

    async def series(self, queries: Mapping[str, str], *, begin: float, end: float) -> dict[str, Any]:
        """Ask the Prometheus that runs."""
        return await fetched(self._prometheus.url, queries, begin=begin, end=end)

    def _keep_report(self, shell: Shell) -> None:
        """Write what a person would ask kubectl, which has no answers when the node is gone."""
        with suppress(DemoError, OSError):
            parts = [shell.quietly("kubectl", "get", "ftj,mdep,jobs,pods,events", "-A", "-o", "wide")]
            for namespace in (HOME, NAMESPACE):
                pods = json.loads(shell.quietly("kubectl", "get", "pods", "-n", namespace, "-o", "json"))["items"]
                for name in (pod["metadata"]["name"] for pod in pods):
                    log = shell.quietly("kubectl", "logs", "-n", namespace, name, "--all-containers", "--tail=200")
                    parts.append(f"--- {name}\n{log}")
            (self.logs / "objects-and-pods.txt").write_text("\n".join(parts), encoding="utf-8")


async def changes(
    look: Callable[[], Awaitable[Manifest | None]], *, pause: float
) -> AsyncGenerator[Manifest | None, None]:
    """Look again and again; yield what is there at first, and each other version. pause: seconds between two looks."""
    known: object = _NOTHING_YET
    while True:
        with suppress(ClusterUnavailable):  # on a busy machine an answer may come too late; the next one tells as much
            found = await look()
            version = found["metadata"]["resourceVersion"] if found else None
            if version != known:
                known = version
                yield found
        await asyncio.sleep(pause)


def values() -> dict[str, str]:
    """Return what the chart is told beside the images."""
    router = "docker.io/tuneloop/development"  # with the Envoy of `.venv`
    labels = {f"monitor.labels.{name}": value for name, value in cluster_monitoring.SELECTOR.items()}
    return {
        "watchNamespaces": f"{{{NAMESPACE}}}",
        "router.image.repository": router,
        "router.image.tag": "dev",
        "prometheus.url": cluster_monitoring.URL,
        "monitor.kind": "PodMonitor",
        "monitor.interval": _SCRAPE,
        **labels,
    }


def _node(stack: AsyncExitStack, watch: Stopwatch) -> tuple[NodeCluster, Shell]:
    """Start a node; it ends with the stack."""
    helm = prepared(watch)
    if problem := cluster_prometheus.missing(say=print, may_install=True):
        raise DemoError(problem)
    binaries.ensure("prometheus-operator", say=print)
    with watch.part("the image (built again when what is in it changes), and a node"):
        image = targets.build("development", say=print)
        cluster = stack.enter_context(NodeCluster(STATE, mounts=python_mounts(ROOT / ".venv")))
        cluster.load_image(image.archive)
    return cluster, Shell(cluster, helm=helm)


def feedback_secret(deployment: Manifest) -> Manifest:
    """Return the Secret with the keys of the tokens of feedback."""
    name = f"{deployment['metadata']['name']}-feedback"
    keys = {"keys": secrets.token_hex(32)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": keys}


def _is_ready(deployment: Manifest) -> bool:
    return (deployment.get("status") or {}).get("phase") == "Ready"
