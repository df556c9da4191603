"""The product on a node, as its users have it: the chart installed by Helm, manifests applied with kubectl, answers read back.

All run the code of this tree in the development image, so that a change of it costs no build; but routers run their true image.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helm_chart import CHART, Helm
from tiny_models import sentences, tiny_bert
from waiting import deadline_after
from workspace import CLAIM, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cluster.node import NodeCluster

Object = dict[str, Any]
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
OWNER = 1000
"""User and group of all our pods."""
GIVE_UP_SECONDS = 1200.0
"""For how long a story waits for anything. Stories share two cores with each other and with other tiers: a job that takes one minute alone has taken nine."""
_LOG_LINES = 30
_POLL_SECONDS = 0.5
"""Between two looks. What stories ask is two thirds of all requests to the API server at two looks a second, and was more at ten."""
_LOOKS_FOR_A_FAILURE = 10
"""As many looks at what is waited for as one at the phases of all jobs."""
_KINDS = ("finetunejobs", "modeldeployments")
_APIS = {
    "/api/v1": ("pods", "services", "configmaps"),
    "/apis/batch/v1": ("jobs",),
    "/apis/apps/v1": ("deployments", "replicasets"),
    "/apis/networking.k8s.io/v1": ("networkpolicies",),
    "/apis/discovery.k8s.io/v1": ("endpointslices",),
    "/apis/events.k8s.io/v1": ("events",),
    "/apis/tuneloop.dev/v1alpha1": _KINDS,
}


def values(**more: Any) -> Object:
    """Return the chart's values for a node without a registry; `more` adds top-level ones."""

    image = {"repository": "docker.io/tuneloop/development", "tag": "dev"}
    router = {"repository": "docker.io/tuneloop/router", "tag": "dev"}
    return {
        "image": image | {"pullPolicy": "Never"},
        "trainer": {"image": image},
        "server": {"image": image},
        "router": {"image": router},
        "children": {"imagePullPolicy": "Never"},
        "progress": {"intervalSeconds": 0.5},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    } | more


def claim_folder(folder: Path, *, rows: int) -> Path:
    """Fill a folder with a tiny model and rows to learn, owned by our pods' user."""
    workspace = Workspace(folder)
    tiny_bert(workspace.claim / "model")
    workspace.write_rows("rows.csv", sentences(rows))
    for path in (workspace.claim, *workspace.claim.rglob("*")):
        os.chown(path, OWNER, OWNER)
    return workspace.claim


@dataclass(frozen=True, kw_only=True)
class Release:
    """One installed release, named `tuneloop`, and the namespaces that it watches."""

    cluster: NodeCluster
    helm: Helm
    namespace: str
    watched: tuple[str, ...]
    claim: Path
    """Folder of this machine that is the claim `work` of each watched namespace."""

    @property
    def account(self) -> str:
        """The operator's user name."""
        return f"system:serviceaccount:{self.namespace}:tuneloop"

    def operator_pod(self) -> Object:
        """Return the operator's pod; the one that is not being deleted, if there are two."""
        pods = self.list("pods", namespace=self.namespace, selector="app.kubernetes.io/instance=tuneloop")
        (pod,) = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return pod

    def for_thread(self) -> Release:
        """Return the same release with a connection of its own, for a story that runs beside others."""
        return replace(self, cluster=self.cluster.for_thread())

    def in_namespace(self, name: str) -> Tenant:
        """Return one of the watched namespaces."""
        assert name in self.watched, name
        return Tenant(release=self, namespace=name)

    def report(self, namespace: str) -> str:
        """Return what is in a namespace, with the end of each pod's log."""
        kubectl = self.cluster.kubectl
        parts = [kubectl("get", "ftj,mdep,jobs,pods,events", "-o", "wide", "-n", namespace).stdout]
        parts += [json.dumps(found.get("status")) for kind in _KINDS for found in self.list(kind, namespace=namespace)]
        for pod in self.list("pods", namespace=namespace):
            name = pod["metadata"]["name"]
            parts.append(f"--- {name}: {json.dumps(pod['status'].get('containerStatuses'))}")
            parts.append(kubectl("logs", f"--tail={_LOG_LINES}", "-n", namespace, name).stdout)
        return "\n".join(parts)

    def list(self, plural: str, *, namespace: str, selector: str = "") -> list[Object]:
        """Return the objects of a kind. By a plain GET: kubectl takes a fifth of a second of a core for it."""
        (api,) = [api for api, plurals in _APIS.items() if plural in plurals]
        query = {"labelSelector": selector} if selector else None
        reply = self.cluster.request("GET", f"{api}/namespaces/{namespace}/{plural}", query=query)
        assert reply.status == 200, reply.body
        items: list[Object] = reply.body["items"]
        return items


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A namespace in which users work."""

    release: Release
    namespace: str

    def apply(self, *manifests: Object) -> None:
        """Run `kubectl apply`."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        applied = self.release.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=text)
        assert applied.returncode == 0, applied.stderr

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in this namespace and return what it printed."""
        done = self.release.cluster.kubectl(*arguments, "-n", self.namespace)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def list(self, plural: str, selector: str = "") -> list[Object]:
        """Return the objects of a kind."""
        return self.release.list(plural, namespace=self.namespace, selector=selector)

    def get(self, plural: str, name: str) -> Object:
        """Return one of our objects by a plain GET."""
        path = f"/apis/tuneloop.dev/v1alpha1/namespaces/{self.namespace}/{plural}/{name}"
        reply = self.release.cluster.request("GET", path)
        assert reply.status == 200, reply.body
        found: Object = reply.body
        return found

    def status(self, plural: str, name: str) -> Object:
        """Return the status of one of our objects; empty before there is one."""
        status: Object = self.get(plural, name).get("status") or {}
        return status

    def pods(self, selector: str) -> list[Object]:
        """Return pods by label."""
        return self.list("pods", selector)

    def until(self, condition: Callable[[], Any], *, what: str) -> Any:
        """Return the first true value; fail soon after a job has failed, or after `GIVE_UP_SECONDS`, with all that says why."""
        deadline, looks = deadline_after(GIVE_UP_SECONDS), 0
        while not (found := condition()):
            if looks % _LOOKS_FOR_A_FAILURE == 0:
                failed = [name for name, phase in self._phases().items() if phase == "Failed"]
                assert not failed, f"{failed} failed while waiting for {what}\n{self.report()}"
            looks += 1
            assert time.monotonic() < deadline, f"{what}: not in time\n{self.report()}"
            time.sleep(_POLL_SECONDS)
        return found

    def _phases(self) -> dict[str, str | None]:
        jobs = self.list("finetunejobs")
        return {job["metadata"]["name"]: (job.get("status") or {}).get("phase") for job in jobs}

    def finished(self, name: str) -> Object:
        """Wait until a job has succeeded and return its status."""
        self.until(
            lambda: self.status("finetunejobs", name).get("phase") == "Succeeded",
            what=f"the end of job {name}",
        )
        return self.status("finetunejobs", name)

    def report(self) -> str:
        """Return what a person would look at when something went wrong."""
        return f"{self.release.report(self.namespace)}\n{self.release.report(self.release.namespace)}"


@contextmanager
def installed(
    cluster: NodeCluster, helm: Helm, *, namespace: str, watched: Sequence[str], claim: Path, **more: Any
) -> Iterator[Release]:
    """Make the namespaces, under Pod Security `restricted`, with a claim in each watched one, and install the chart; undo it at the end."""
    release = Release(
        cluster=cluster,
        helm=replace(helm, kubeconfig=cluster.kubeconfig),
        namespace=namespace,
        watched=tuple(watched),
        claim=claim,
    )
    names = dict.fromkeys([namespace, *watched])
    for name in names:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
        assert cluster.request("POST", "/api/v1/namespaces", body).status == 201
    for name in watched:
        cluster.share(CLAIM, claim, namespace=name)
    given = values(watchNamespaces=list(watched), **more)
    try:
        install = ("install", "tuneloop", str(CHART), "-n", namespace, "--wait", "--timeout", "10m")
        done = release.helm.run(*install, values=given)
        assert done.returncode == 0, f"{done.stderr}\n{release.report(namespace)}"
        yield release
    finally:
        for name in watched:  # while there is an operator, as a person would
            cluster.kubectl("delete", ",".join(_KINDS), "--all", "-n", name, "--wait=false")
        release.helm.run("uninstall", "tuneloop", "-n", namespace, "--wait")
        for name in names:
            cluster.kubectl("delete", "namespace", name, "--wait=false")
