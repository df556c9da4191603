"""Training pods on the network of their nodes: only where the administrator allows it, and never two that would clash."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import SETTINGS, STAGES, a_job, container_of, job_pods, pod_in, server

from tuneloop_api.contract.defaults import as_set, config_hash
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.model import changed
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.host_network import RENDEZVOUS_PORT, rendezvous_port
from tuneloop_operator.desired.fine_tune_job.run_config import run_config
from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service

ALLOWED = changed(SETTINGS, allow_host_network=True)
ASKED: dict[str, Any] = {"scheduling": {"hostNetwork": True}}
CAPABILITIES = {"drop": ["ALL"]}


def with_uid(number: int) -> FineTuneJob:
    job = a_job(**ASKED)
    return FineTuneJob.from_wire(job.to_wire() | {"metadata": job.metadata | {"uid": f"uid-{number}"}})


def test_the_training_pods_alone_are_on_the_network_of_their_nodes_and_find_names_of_the_cluster() -> None:
    pods = job_pods(ALLOWED, **ASKED)
    assert {stage: pods[stage].get("hostNetwork") for stage in STAGES} == {
        "prepare": None,
        "train": True,
        "export": None,
    }
    assert pods["train"]["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert pods["prepare"] == job_pods(ALLOWED)["prepare"]


@pytest.mark.parametrize(
    ("settings", "spec"),
    [
        pytest.param(SETTINGS, ASKED, id="the administrator does not allow it"),
        pytest.param(ALLOWED, {"scheduling": {"hostNetwork": False}}, id="the job says no"),
        pytest.param(ALLOWED, {"scheduling": {}}, id="the job does not say"),
        pytest.param(ALLOWED, {}, id="no scheduling"),
    ],
)
def test_else_the_pods_are_as_they_were(settings: Any, spec: dict[str, Any]) -> None:
    assert job_pods(settings, **spec) == job_pods()


def test_a_pod_claims_the_port_of_its_gang_on_its_node_so_that_the_scheduler_keeps_two_of_a_gang_apart() -> None:
    (port,) = container_of(job_pods(ALLOWED, **ASKED)["train"])["ports"]
    assert port["hostPort"] == port["containerPort"] == rendezvous_port(a_job(**ASKED))
    assert port["protocol"] == "TCP"


def test_run_json_the_service_and_the_pods_name_one_port() -> None:
    for job, port in ((a_job(), RENDEZVOUS_PORT), (a_job(**ASKED), rendezvous_port(a_job(**ASKED)))):
        storage = storage_of(job.spec, default_claim="models")
        assert storage is not None
        config = run_config(job, stage="train", attempt=3, storage=storage, settings=ALLOWED)
        assert config.rendezvous is not None
        assert config.rendezvous.port == rendezvous_service(job)["spec"]["ports"][0]["port"] == port


def test_gangs_have_ports_of_their_own_below_those_that_a_node_gives_away() -> None:
    ports = {rendezvous_port(with_uid(number)) for number in range(100)}
    assert len(ports) > 95
    assert min(ports) >= 20000
    assert max(ports) < 30000


def test_a_capability_is_given_to_no_pod_whatever_a_job_asks_for() -> None:
    spec = ASKED | {"resources": {"extended": {"rdma/hca": 1}}, "network": {"interface": "ib0"}}
    pods = [*job_pods(ALLOWED, **spec).values(), pod_in(server(ALLOWED, resources={"extended": {"rdma/hca": 1}}))]
    assert [container_of(pod)["securityContext"]["capabilities"] for pod in pods] == [CAPABILITIES] * 4


def test_the_network_is_no_part_of_a_run() -> None:
    assert config_hash(as_set(a_job(**ASKED).spec)) == config_hash(as_set(a_job().spec))


def test_it_is_refused_where_the_administrator_does_not_allow_it_with_the_way_to_allow_it() -> None:
    (refusal,) = job_refusals(a_job(**ASKED).spec, SETTINGS)
    assert refusal.reason == "HostNetworkNotAllowed"
    assert str(refusal) == (
        "spec.scheduling.hostNetwork: found true; only false is allowed here: pods on the network of a node escape every NetworkPolicy. "
        "The administrator allows it by `children.allow.hostNetwork: true` of the chart; for example hostNetwork: false"
    )
    assert job_refusals(a_job(**ASKED).spec, ALLOWED) == ()
    assert job_refusals(a_job(scheduling={"hostNetwork": False}).spec, SETTINGS) == ()
    assert job_refusals(a_job(**ASKED).spec, changed(SETTINGS, local=True)) == ()


@pytest.mark.parametrize(
    ("resources", "names"),
    [({}, None), ({"extended": {}}, None), ({"extended": {"rdma/b": 1, "rdma/a": 2}}, ["rdma/a", "rdma/b"])],
)
def test_the_training_pods_learn_which_devices_they_have(resources: dict[str, Any], names: list[str] | None) -> None:
    job = a_job(resources=resources)
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    shared: dict[str, Any] = {"storage": storage, "settings": SETTINGS}
    assert run_config(job, stage="train", attempt=1, **shared).extended_resources == names
    assert run_config(job, stage="prepare", attempt=0, **shared).extended_resources is None
