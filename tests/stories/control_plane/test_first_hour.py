"""A platform team's first hour, as `docs/first-hour.md` tells it: every command of the page is run, on a real API server.

The operator is a process with the settings and the account of the chart's pod. Scheduler and kubelet are played.
"""

from __future__ import annotations

import threading

import pytest
from cluster.control_plane import ControlPlane
from command_pages import CommandPage, Reader
from first_hour import HOME, TEAM, Hour, checkout, gated_hub, live_through
from helm_chart import ROOT
from played_operator import PlayedOperator
from pod_scripts import Until, before_the_end, succeed
from pod_status_patcher import PodStatusPatcher

PAGE = CommandPage(text=(ROOT / "docs/first-hour.md").read_text())
pytestmark = pytest.mark.timeout(600)  # the whole page is followed before the first test
CHILDREN = {"jobs", "configmaps", "services", "networkpolicies", "deployments", "poddisruptionbudgets", "events"}
"""What the operator makes for an object of ours."""


@pytest.fixture(scope="module")
def plane(control_plane, tmp_path_factory):
    """A control plane without our CRDs; `control_plane` says whether there can be one."""
    with ControlPlane(tmp_path_factory.mktemp("first-hour") / "plane", audit=True) as own:
        yield own


@pytest.fixture(scope="module")
def hour(plane, helm, tmp_path_factory):
    """The whole page, from top to bottom."""
    gates = {
        f"{job}/{stage}": threading.Event()
        for job in ("tickets", "tickets-2")
        for stage in ("prepare", "train", "export")
    }
    scripts = {name: before_the_end(succeed, Until(event)) for name, event in gates.items()}
    with (
        gated_hub() as hub,
        PlayedOperator(plane, tmp_path_factory.mktemp("operator"), namespace=HOME) as operator,
        PodStatusPatcher(plane, namespace=TEAM, scripts=scripts),
    ):
        reader = Reader(PAGE, *checkout(tmp_path_factory.mktemp("checkout"), plane=plane, helm=helm, hub=hub))
        yield live_through(Hour(plane, reader, gates, operator))


def test_every_command_of_the_page_is_run_in_its_order(hour):
    assert hour.reader.done == list(PAGE.blocks)
    assert PAGE.fences == len(PAGE.blocks)


def test_git_and_the_cluster_agree_in_every_phase(hour):
    phases = ("Preparing", "PodsRefused", "Running", "Exporting", "Reinstalled")
    assert hour.differences == dict.fromkeys(phases, "")


def test_a_quota_that_is_too_small_is_named_within_seconds(hour):
    assert 0 < hour.refused_seconds < 20


def test_what_rests_is_not_written(hour):
    assert hour.writes_at_rest == {"Running": [], "Served": []}


def test_the_operator_writes_status_and_its_own_children_alone(hour):
    ours = [write for write in hour.writes if write.resource in {"finetunejobs", "modeldeployments"}]
    assert {write.subresource for write in ours} == {"status"}
    written = {write.resource for write in hour.writes if write.namespace == TEAM} - {"leases"}
    assert written - {"finetunejobs", "modeldeployments"} <= CHILDREN
    assert {write.verb for write in hour.writes} <= {"create", "patch", "update"}


def test_each_job_is_made_once_and_not_changed(hour):
    """Neither the defaults of a LimitRange nor a new operator make it write a Job again."""
    made = sorted(write.name for write in hour.writes if write.resource == "jobs")
    stages = ("a1", "export", "prepare")
    assert made == sorted(f"{job}-{stage}" for job in ("tickets", "tickets-2") for stage in stages)
    assert sum(write.resource == "deployments" for write in hour.writes) == 1


def test_pods_get_the_defaults_of_the_chart_and_of_the_limit_range(hour):
    for stage in ("prepare", "a1-0", "export"):
        spec = hour.pod_of("tickets", stage)
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert "dedicated" in {toleration.get("key") for toleration in spec["tolerations"]}
        assert spec["containers"][0]["image"].startswith("registry.example.com/tuneloop/trainer")
    for stage in ("prepare", "export"):
        assert hour.pod_of("tickets", stage)["containers"][0]["resources"] == {
            "requests": {"cpu": "1", "memory": "4Gi"},
            "limits": {"memory": "8Gi"},
        }


def test_training_pods_alone_go_to_the_gpu_nodes_and_prepare_alone_gets_the_token(hour):
    pods = {stage: hour.pod_of("tickets", stage) for stage in ("prepare", "a1-0", "a1-1", "export")}
    on_gpus = {stage for stage, spec in pods.items() if spec.get("nodeSelector") == {"pool": "gpu"}}
    tolerant = {
        stage for stage, spec in pods.items() if "nvidia.com/gpu" in {t.get("key") for t in spec["tolerations"]}
    }
    assert on_gpus == tolerant == {"a1-0", "a1-1"}
    with_token = {stage for stage, spec in pods.items() if "'name': 'HF_TOKEN'" in str(spec)}
    assert with_token == {"prepare"}
    assert "hf_example" not in str(pods)


def test_a_job_that_trained_meanwhile_is_taken_over_as_it_was(hour):
    before, after = hour.second_job
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert (after["status"]["attempt"], after["status"].get("restarts")) == (1, None)
    assert after["status"]["children"]["train"]["uid"] == before["status"]["children"]["train"]["uid"]


def test_no_operator_meets_an_error(hour):
    assert len(hour.operator.logs) == 2
    for log in hour.operator.logs:
        assert "unexpected error" not in log.read_text()
        assert "Traceback" not in log.read_text()
