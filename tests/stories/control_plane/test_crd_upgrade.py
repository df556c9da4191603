"""The custom resources get another schema while jobs train: what is stored stays readable and writable, and no pod is made again."""

from __future__ import annotations

import copy
import threading
from contextlib import contextmanager
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
    from pathlib import Path

Manifest = dict[str, Any]
STORED = 100
TRAINING = ("reviews-0", "reviews-1")
REFUSED_TODAY = {"method": {"type": "full", "rank": 8}}
NEW_FIELDS = ("scheduling", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "cleanup", "preflight", "budget")
NEW_STATUS_FIELDS = ("usage", "nodes", "avoidedNodes")
ANY_JOB = "/apis/tuneloop.dev/v1alpha1/namespaces/{}/finetunejobs"


def todays_crds() -> list[Manifest]:
    return [yaml.safe_load(path.read_text()) for path in sorted(cluster_tier.CRDS.glob("*.yaml"))]


def older(crd: Manifest) -> Manifest:
    """Return a CRD as an earlier version would have it: some fields are unknown, and no rule looks at more than one field."""
    made = copy.deepcopy(crd)
    for version in made["spec"]["versions"]:
        blocks = version["schema"]["openAPIV3Schema"]["properties"]
        for block, names in (("spec", NEW_FIELDS), ("status", NEW_STATUS_FIELDS)):
            for name in names:
                blocks[block]["properties"].pop(name, None)
        _without_rules(version["schema"]["openAPIV3Schema"])
    return made


def _without_rules(schema: Any) -> None:
    if isinstance(schema, dict):
        schema.pop("x-kubernetes-validations", None)
        for below in schema.values():
            _without_rules(below)


@dataclass(frozen=True, kw_only=True)
class Upgraded:
    """What there is after another schema took effect under a running operator; two jobs train on until `go`."""

    client: NamespaceClient
    plane: ControlPlane
    job: Traffic
    before: dict[str, str]
    """Uids of the pods, by name."""
    go: threading.Event
    written_before: int
    """By the operator for one job that trains, under the older schema."""


@pytest.fixture(scope="module")
def upgraded(control_plane, tmp_path_factory) -> Iterator[Upgraded]:
    folder, go = tmp_path_factory.mktemp("crd-upgrade"), threading.Event()
    with ControlPlane(tmp_path_factory.mktemp("crd-plane")) as plane:
        apply(plane, folder, [older(crd) for crd in todays_crds()])
        with cluster_tier.fresh_namespace(plane) as namespace, stage(plane, namespace, folder, go) as found:
            apply(plane, folder, todays_crds())
            until(lambda: create(plane, namespace, **REFUSED_TODAY) == 422, seconds=30, what="today's rules")
            yield found


@contextmanager
def stage(plane: ControlPlane, namespace: str, folder: Path, go: threading.Event) -> Iterator[Upgraded]:
    """Store jobs, two of which train, under an operator at rest."""
    client = NamespaceClient(plane, namespace)
    scripts = {f"{name}/train": before_the_end(succeed, Until(go)) for name in TRAINING}
    settings = {
        "pod_namespace": namespace,
        "namespaces": namespace,
        "progress_url": "https://tuneloop-progress.test:8443",
        "tls_directory": make_certificate(folder / "tls"),
    }
    with (
        PodStatusPatcher(plane, namespace=namespace, scripts=scripts, nodes=["node-0", "node-1"]),
        FaultProxy(plane, folder=folder / "proxy") as proxy,
        RunningOperator(None, folder, pod="operator", kubeconfig=proxy.kubeconfig, **settings) as operator,
    ):
        operator.wait_ready().wait_leading()
        for number in range(STORED):
            refused = REFUSED_TODAY if number % 10 == 9 else {}
            client.submit(f"reviews-{number}", **refused, suspend=f"reviews-{number}" not in TRAINING)
        for name in TRAINING:
            client.wait_for_phase(name, "Running")
        job = Traffic(proxy, namespace, TRAINING[0])
        job.come_to_rest()
        yield Upgraded(client=client, plane=plane, job=job, before=gang(client), go=go, written_before=len(job.writes))


def apply(plane: ControlPlane, folder: Path, crds: list[Manifest]) -> None:
    path = folder / "crds.yaml"
    path.write_text(yaml.safe_dump_all(crds))
    for arguments in (("apply", "--server-side"), ("wait", "--for=condition=Established", "--timeout=120s")):
        done = plane.kubectl(*arguments, "-f", str(path))
        assert done.returncode == 0, done.stderr


def create(plane: ControlPlane, namespace: str, **spec: Any) -> int:
    """Return the answer's code to a new job, which is not stored."""
    body = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "new"}}
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    return plane.request("POST", ANY_JOB.format(namespace), body | {"spec": SPEC | spec}, query=query).status


def gang(client: NamespaceClient) -> dict[str, str]:
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in client.all("Pod")}


def test_a_new_schema_restarts_no_pod_and_writes_nothing_for_a_job_that_trains(upgraded):
    assert len(upgraded.before) >= 2 * len(TRAINING)
    upgraded.job.come_to_rest()
    assert gang(upgraded.client) == upgraded.before
    assert len(upgraded.job.writes) == upgraded.written_before


def test_each_stored_job_can_be_read_and_written_those_too_that_todays_rules_refuse(upgraded):
    jobs = upgraded.client.all("FineTuneJob")
    assert len(jobs) == STORED
    assert [job for job in jobs if job["spec"].get("method") == REFUSED_TODAY["method"]]
    for job in jobs:
        name = job["metadata"]["name"]
        stored = upgraded.client.patch("FineTuneJob", name, {"metadata": {"labels": {"team": "a"}}})
        assert stored["spec"] == job["spec"]


def test_an_old_job_can_be_given_a_new_field(upgraded):
    stored = upgraded.client.patch("FineTuneJob", "reviews-2", {"spec": {"ttlSecondsAfterFinished": 3600}})
    assert stored["spec"]["ttlSecondsAfterFinished"] == 3600


def test_an_old_job_trains_to_its_end_in_its_first_attempt(upgraded):
    upgraded.go.set()
    for name in TRAINING:
        status = upgraded.client.wait_for_phase(name, "Succeeded")
        assert (status["attempt"], status.get("restarts")) == (1, None)
        assert status["usage"]


def test_back_under_the_older_schema_all_can_still_be_read_and_written(upgraded, tmp_path):
    apply(upgraded.plane, tmp_path, [older(crd) for crd in todays_crds()])
    until(
        lambda: create(upgraded.plane, upgraded.client.namespace, **REFUSED_TODAY) == 201,
        seconds=30,
        what="older rules",
    )
    stored = upgraded.client.patch("FineTuneJob", "reviews-2", {"metadata": {"labels": {"team": "b"}}})
    assert "ttlSecondsAfterFinished" not in stored["spec"]
    written = len(upgraded.job.writes)
    upgraded.job.come_to_rest()
    assert len(upgraded.job.writes) == written
