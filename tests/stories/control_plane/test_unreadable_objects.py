"""A newer schema stores fields and values that the operator does not know: it reports them once, and leaves a gang that runs alone."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cluster_tier
import pytest
import yaml
from cluster.control_plane import ControlPlane
from fault_proxy import FaultProxy
from namespace_client import SPEC, NamespaceClient
from operator_process import RunningOperator, make_certificate
from operator_traffic import Traffic
from pod_scripts import Until, before_the_end, succeed
from pod_status_patcher import PodStatusPatcher
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

Manifest = dict[str, Any]
TIER = {"storage": SPEC["storage"] | {"tier": "fast"}}


def newer_crds() -> list[Manifest]:
    """Return today's CRDs with `spec.storage.tier` in them, and numbers allowed in `status.workers`."""
    crds = [yaml.safe_load(path.read_text()) for path in sorted(cluster_tier.CRDS.glob("*.yaml"))]
    (crd,) = [crd for crd in crds if crd["spec"]["names"]["kind"] == "FineTuneJob"]
    newer = copy.deepcopy(crd)
    for version in newer["spec"]["versions"]:
        blocks = version["schema"]["openAPIV3Schema"]["properties"]
        blocks["spec"]["properties"]["storage"]["properties"]["tier"] = {"type": "string"}
        blocks["status"]["properties"]["workers"] = {"x-kubernetes-int-or-string": True}
    return [newer if other is crd else other for other in crds]


@dataclass(frozen=True, kw_only=True)
class Newer:
    """An operator under a newer schema, and a job `trains` whose gang runs until `go`."""

    client: NamespaceClient
    proxy: FaultProxy
    go: threading.Event

    def accepted(self, name: str, status: str) -> Manifest:
        """Return the condition Accepted of a job once it has this status."""

        def found() -> Manifest | None:
            condition = self.client.condition(name, "Accepted")
            return condition if condition and condition["status"] == status else None

        condition = until(found, seconds=30, what=f"Accepted={status} of {name}")
        assert condition is not None
        return condition

    def traffic(self, name: str) -> Traffic:
        return Traffic(self.proxy, self.client.namespace, name)


@pytest.fixture(scope="module")
def newer(control_plane, tmp_path_factory) -> Iterator[Newer]:
    folder, go = tmp_path_factory.mktemp("newer"), threading.Event()
    with ControlPlane(tmp_path_factory.mktemp("newer-plane")) as plane:
        path = folder / "crds.yaml"
        path.write_text(yaml.safe_dump_all(newer_crds()))
        for arguments in (("apply", "--server-side"), ("wait", "--for=condition=Established", "--timeout=120s")):
            done = plane.kubectl(*arguments, "-f", str(path))
            assert done.returncode == 0, done.stderr
        with cluster_tier.fresh_namespace(plane) as namespace:
            settings = {
                "pod_namespace": namespace,
                "namespaces": namespace,
                "progress_url": "https://tuneloop-progress.test:8443",
                "tls_directory": make_certificate(folder / "tls"),
            }
            scripts = {"trains/train": before_the_end(succeed, Until(go))}
            with (
                PodStatusPatcher(plane, namespace=namespace, scripts=scripts, nodes=["node-0", "node-1"]),
                FaultProxy(plane, folder=folder / "proxy") as proxy,
                RunningOperator(None, folder, pod="operator", kubeconfig=proxy.kubeconfig, **settings) as operator,
            ):
                operator.wait_ready().wait_leading()
                yield Newer(client=NamespaceClient(plane, namespace), proxy=proxy, go=go)


def test_an_unknown_field_costs_one_status_write_and_one_event(newer):
    job = newer.client.submit("tiered", **TIER)
    condition = newer.accepted("tiered", "False")
    assert condition["reason"] == "UnknownField"
    assert condition["message"].startswith("spec.storage.tier: found 'fast'; ")
    events = newer.client.events_of(job)
    assert [(event["type"], event["reason"]) for event in events] == [("Warning", "UnknownField")]
    traffic = newer.traffic("tiered")
    traffic.come_to_rest()
    assert [(call.verb, call.resource) for call in traffic.changes] == [("patch", "finetunejobs")]


def test_a_job_whose_unknown_field_is_removed_runs(newer):
    newer.client.submit("mended", **TIER)
    newer.accepted("mended", "False")
    newer.client.patch("FineTuneJob", "mended", {"spec": {"storage": {"tier": None}}})
    newer.accepted("mended", "True")
    newer.client.wait_for_phase("mended", "Succeeded")


def test_a_gang_that_runs_is_left_alone_while_its_status_cannot_be_read(newer):
    newer.client.submit("trains")
    newer.client.wait_for_phase("trains", "Running")
    before = gang(newer.client)
    newer.client.patch("FineTuneJob", "trains", {"status": {"workers": 2}}, subresource="/status")
    condition = newer.accepted("trains", "False")
    assert (condition["reason"], condition["message"].split(";")[0]) == (
        "InvalidField",
        "status.workers: found 2",
    )
    newer.traffic("trains").come_to_rest()
    status = newer.client.status("trains")
    assert (status["workers"], status["attempt"]) == (2, 1)
    assert gang(newer.client) == before
    newer.client.patch("FineTuneJob", "trains", {"status": {"workers": "2/2"}}, subresource="/status")
    newer.accepted("trains", "True")
    newer.go.set()
    assert newer.client.wait_for_phase("trains", "Succeeded")["attempt"] == 1


def gang(client: NamespaceClient) -> dict[str, str]:
    """Return the uids of the job's training pods, by name."""
    pods = client.all("Pod")
    return {
        pod["metadata"]["name"]: pod["metadata"]["uid"]
        for pod in pods
        if pod["metadata"]["name"].startswith("trains-a")
    }
