"""People, queues and collectors take hold of the operator's objects: a job still ends as it should, and nobody fights."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cluster_tier import fresh_namespace
from fault_proxy import FaultProxy
from operator_bed import Bed, until
from operator_process import RunningOperator
from operator_traffic import Traffic
from pod_courses import Until, before_the_end, succeed
from pod_status_patcher import PodStatusPatcher
from served_models import deploy, deployment_status, is_ready, take_down
from stories_at_once import at_once, telling

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane

MANAGED, JOB_LABEL = "app.kubernetes.io/managed-by", "tuneloop.dev/job"
STRATEGIC = "application/strategic-merge-patch+json"
ONE_RUN = {"prepare": 1, "a1": 1, "export": 1}
"""How often a job that nobody disturbs makes each of its Jobs."""


@pytest.fixture(scope="module")
def world(custom_resources, tmp_path_factory):
    """One namespace, a leader behind a proxy, and whoever plays the pods: they succeed, unless a story says otherwise."""
    folder = tmp_path_factory.mktemp("foreign-hands")
    with (
        fresh_namespace(custom_resources) as namespace,
        # a real kubelet does not look at labels either
        PodStatusPatcher(custom_resources, namespace=namespace, selector="") as kubelet,
        FaultProxy(custom_resources, folder=folder / "proxy") as proxy,
    ):
        with RunningOperator(
            None, folder, kubeconfig=proxy.kubeconfig, pod_namespace=namespace, namespaces=namespace
        ) as operator:
            operator.wait_ready(seconds=60).wait_leading(seconds=60)
            yield World(plane=custom_resources, namespace=namespace, kubelet=kubelet, proxy=proxy, operator=operator)
        take_down(Bed(custom_resources, namespace))


@pytest.fixture(scope="module")
def told(request, world):
    with telling(request, lambda: Stage(world)) as futures:
        yield futures


@dataclass(frozen=True, kw_only=True)
class World:
    """What all stories share."""

    plane: ControlPlane
    namespace: str
    kubelet: PodStatusPatcher
    proxy: FaultProxy
    operator: RunningOperator


class Stage:
    """What one story has of its own."""

    def __init__(self, world: World) -> None:
        self.bed = Bed(world.plane, world.namespace)
        self._world = world

    def job(self, name: str) -> Story:
        """Return the story of a job under a name of its own, which is yet to be submitted."""
        return Story(name, bed=self.bed, proxy=self._world.proxy, kubelet=self._world.kubelet)

    def served(self, name: str) -> Story:
        """Return the story of a ModelDeployment that is ready and at rest."""
        served = self.job(name)
        deploy(self.bed, name)
        until(lambda: is_ready(self.bed, name), seconds=60, what="ready servers")
        served.traffic.come_to_rest()
        return served


class Story:
    """One job, and what the operator writes for it."""

    def __init__(self, name: str, *, bed: Bed, proxy: FaultProxy, kubelet: PodStatusPatcher) -> None:
        self.name = name
        self.bed = bed
        self.kubelet = kubelet
        self.traffic = Traffic(proxy, bed.namespace, name)
        self._go: dict[str, threading.Event] = {}

    def hold(self, *stages: str) -> None:
        """Let the pods of these stages run until `go_on`."""
        for stage in stages:
            self._go[stage] = threading.Event()
            self.kubelet.scripts[f"{self.name}/{stage}"] = before_the_end(succeed, Until(self._go[stage]))

    def go_on(self, stage: str) -> None:
        """Let the pods of a stage end."""
        self._go[stage].set()

    def start(self) -> None:
        """Submit the job and return once it trains."""
        self.bed.submit(self.name)
        self.wait_for("Running")

    def wait_for(self, phase: str, *, seconds: float = 60.0):
        """Return the status once the job is in this phase."""
        return self.bed.wait_for_phase(self.name, phase, seconds=seconds)

    def child(self, kind: str, suffix: str):
        """Return a child, or None."""
        return self.bed.get(kind, f"{self.name}-{suffix}")

    def stored(self, kind: str, suffix: str):
        """Return a child once it is there."""
        return self.bed.stored(kind, f"{self.name}-{suffix}")

    def patch(self, kind: str, suffix: str, change, **how: str):
        """Change a child as a user does."""
        return self.bed.patch(kind, f"{self.name}-{suffix}", change, **how)

    def delete(self, kind: str, suffix: str, *, policy: str = "Background") -> None:
        """Delete a child as a user does."""
        self.bed.delete(kind, f"{self.name}-{suffix}", policy=policy)

    @property
    def runs(self) -> dict[str, int]:
        """How often each Job was made, by the end of its name."""
        made = self.traffic.made
        return {name.removeprefix(f"{self.name}-"): count for (kind, name), count in made.items() if kind == "jobs"}


# ---- Jobs that are deleted ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
@at_once
def test_a_training_job_that_a_user_deletes_is_a_disruption(stage, policy):
    job = stage.job(f"deleted-{policy.lower()}")
    job.hold("train")
    job.start()
    job.kubelet.scripts[f"{job.name}/train"] = succeed
    job.delete("Job", "a1", policy=policy)
    if policy == "Orphan":  # its pods train on, and nobody may train beside them
        job.go_on("train")
    status = job.wait_for("Succeeded", seconds=90)
    assert (status["attempt"], status["restarts"]["total"], status["restarts"]["disruption"]) == (2, 1, 1)
    job.traffic.come_to_rest()
    assert job.runs == ONE_RUN | {"a2": 1}


@at_once
def test_a_prepare_job_that_a_user_deletes_is_made_once_more(stage):
    job = stage.job("no-prepare")
    job.hold("prepare")
    job.bed.submit(job.name)
    until(lambda: job.kubelet.pods(namespace=job.bed.namespace), seconds=30, what="a pod that prepares")
    job.wait_for("Preparing")
    until(lambda: job.bed.status(job.name)["children"]["prepare"].get("uid"), seconds=30, what="a recorded uid")
    job.kubelet.scripts[f"{job.name}/prepare"] = succeed
    job.delete("Job", "prepare")
    status = job.wait_for("Succeeded")
    assert (status["attempt"], status["restarts"]["disruption"]) == (1, 1)
    job.traffic.come_to_rest()
    assert job.runs == ONE_RUN | {"prepare": 2}


@at_once
def test_a_pod_that_a_user_deletes_is_a_disruption_of_the_whole_gang(stage):
    job = stage.job("bereft")
    job.hold("train")
    job.start()
    job.kubelet.scripts[f"{job.name}/train"] = succeed
    (first, *_) = sorted(pod["metadata"]["name"] for pod in gang(job))
    stage.bed.delete("Pod", first)
    status = job.wait_for("Succeeded")
    assert (status["attempt"], status["restarts"]["total"], status["restarts"]["disruption"]) == (2, 1, 1)
    job.traffic.come_to_rest()
    assert job.runs == ONE_RUN | {"a2": 1}


# ---- Jobs that are collected ----------------------------------------------------------------------------------------------------------


def collect(job: Story, suffix: str) -> None:
    """Let the TTL controller collect a finished Job, and its pods with it."""
    job.patch("Job", suffix, {"spec": {"ttlSecondsAfterFinished": 0}})
    until(lambda: job.child("Job", suffix) is None, seconds=30, what=f"no {suffix}")


@at_once
def test_a_finished_stage_that_is_collected_while_later_ones_run_is_not_made_again(stage):
    job = stage.job("collected")
    job.hold("train", "export")
    job.start()
    collect(job, "prepare")
    job.traffic.come_to_rest()
    assert job.bed.phase(job.name) == "Running"
    job.go_on("train")
    job.wait_for("Exporting")
    collect(job, "a1")
    job.traffic.come_to_rest()
    assert job.bed.phase(job.name) == "Exporting"
    job.go_on("export")
    status = job.wait_for("Succeeded")
    assert (status["attempt"], status.get("restarts"), job.runs) == (1, None, ONE_RUN)


@at_once
def test_nothing_of_a_finished_job_comes_back(stage):
    job = stage.job("over")
    job.bed.submit(job.name)
    job.wait_for("Succeeded")
    job.traffic.come_to_rest()
    before, written = job.bed.status(job.name), len(job.traffic.writes)
    collect(job, "export")
    for kind, suffix in (
        ("Job", "prepare"),
        ("Job", "a1"),
        ("ConfigMap", "export"),
        ("Service", "train"),
        ("NetworkPolicy", "train"),
    ):
        job.delete(kind, suffix)
    job.traffic.come_to_rest()
    assert job.bed.status(job.name) == before
    assert len(job.traffic.writes) == written


@at_once
def test_a_job_whose_runs_are_collected_the_moment_they_end_still_ends_well(stage):
    """As where a policy of the cluster puts this on each Job. A run whose good end was not seen in time is done once more."""
    job = stage.job("swept")
    job.hold("prepare", "train", "export")
    stage.bed.submit(job.name)
    for run, suffix in (("prepare", "prepare"), ("train", "a1"), ("export", "export")):
        job.stored("Job", suffix)
        job.patch("Job", suffix, {"spec": {"ttlSecondsAfterFinished": 0}})
        job.go_on(run)
    status = job.wait_for("Succeeded")
    job.traffic.come_to_rest()
    assert sum(job.runs.values()) == len(ONE_RUN) + status.get("restarts", {"total": 0})["total"]
    assert max(job.runs.values()) <= 2


# ---- queues ---------------------------------------------------------------------------------------------------------------------------


@at_once
def test_a_queue_may_suspend_change_and_resume_the_gang(stage):
    """As Kueue does where it preempts and admits anew."""
    job = stage.job("queued")
    job.hold("train")
    job.start()
    uid = job.child("Job", "a1")["metadata"]["uid"]
    job.patch("Job", "a1", {"spec": {"suspend": True}})
    job.wait_for("Queued")
    assert job.bed.condition(job.name, "PodsReady")["reason"] == "Queued"
    until(lambda: not gang(job), seconds=30, what="no pods")
    changed = job.patch(
        "Job",
        "a1",
        {
            "metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team"}, "annotations": {"kueue.x-k8s.io/a": "b"}},
            "spec": {
                "template": {
                    "metadata": {"labels": {"kueue.x-k8s.io/podset": "main"}, "annotations": {"a": "b"}},
                    "spec": {
                        "nodeSelector": {"pool": "gpu"},
                        "tolerations": [{"key": "pool", "operator": "Exists"}],
                    },
                }
            },
        },
    )
    job.traffic.come_to_rest()
    until(lambda: job.bed.status(job.name)["workers"] == "0/2", seconds=30, what="no workers in the status")
    assert (job.bed.phase(job.name), job.bed.status(job.name)["attempt"]) == ("Queued", 1)
    job.patch("Job", "a1", {"spec": {"suspend": False}})
    job.wait_for("Running")
    assert {pod["spec"]["nodeSelector"]["pool"] for pod in gang(job)} == {"gpu"}
    job.go_on("train")
    status = job.wait_for("Succeeded")
    job.traffic.come_to_rest()
    assert (status["attempt"], status["restarts"]["total"], status["restarts"]["disruption"]) == (1, 1, 1)
    found = job.child("Job", "a1")
    assert found["metadata"]["uid"] == uid
    assert found["spec"]["template"] == changed["spec"]["template"]
    assert job.runs == ONE_RUN


def gang(job: Story):
    return [pod for pod in job.bed.all("Pod") if pod["metadata"]["name"].startswith(f"{job.name}-a1")]


@at_once
def test_a_gang_whose_parallelism_somebody_changes_is_neither_changed_back_nor_begun_anew(stage):
    job = stage.job("narrow")
    job.hold("train")
    job.start()
    job.patch("Job", "a1", {"spec": {"suspend": True}})
    job.wait_for("Queued")
    until(lambda: not gang(job), seconds=30, what="no pods")
    job.patch("Job", "a1", {"spec": {"parallelism": 1}})
    job.patch("Job", "a1", {"spec": {"suspend": False}})
    until(lambda: len(gang(job)) == 1, seconds=30, what="one pod")
    job.traffic.come_to_rest()
    job.go_on("train")
    job.wait_for("Succeeded")
    job.traffic.come_to_rest()
    assert job.child("Job", "a1")["spec"]["parallelism"] == 1
    assert job.runs == ONE_RUN


# ---- what is applied -----------------------------------------------------------------------------------------------------------------

RESOURCES = {"Service": "services", "NetworkPolicy": "networkpolicies"}


@pytest.mark.parametrize(
    ("name", "kind", "change"),
    [
        pytest.param("narrowed", "Service", {"spec": {"selector": {"app": "mine"}}}, id="a selector that selects less"),
        pytest.param("hidden", "Service", {"spec": {"publishNotReadyAddresses": False}}, id="another value of a field"),
        pytest.param("opened", "NetworkPolicy", {"spec": {"ingress": [{}]}}, id="a policy that lets all in"),
        pytest.param("unfound", "Service", {"metadata": {"labels": {JOB_LABEL: None}}}, id="no label to find it by"),
        pytest.param("unseen", "Service", {"metadata": {"labels": {MANAGED: None}}}, id="no label to watch it by"),
    ],
)
@at_once
def test_what_is_changed_by_hand_is_put_right_once(stage, name, kind, change):
    job = stage.job(name)
    job.hold("train")
    job.start()
    before, applied = job.child(kind, "train"), len(job.traffic.applied(RESOURCES[kind]))
    job.patch(kind, "train", change)
    until(lambda: len(job.traffic.applied(RESOURCES[kind])) > applied, seconds=30, what="an apply")
    job.traffic.come_to_rest()
    found = job.child(kind, "train")
    assert (found["spec"], found["metadata"]["labels"]) == (before["spec"], before["metadata"]["labels"])
    assert len(job.traffic.applied(RESOURCES[kind])) == applied + 1
    job.go_on("train")
    job.wait_for("Succeeded")


@at_once
def test_a_change_that_cannot_be_put_right_is_said_and_the_job_ends_well(stage):
    """An apply adds our port beside the other one of the same name, which the API server refuses."""
    job = stage.job("moved")
    job.hold("train")
    job.start()
    job.patch("Service", "train", {"spec": {"ports": [{"name": "rendezvous", "port": 29501}]}})
    told = until(lambda: stage.bed.condition(job.name, "Refused"), seconds=30, what="what is refused")
    assert "Service moved-train" in told["message"]
    job.traffic.come_to_rest()
    job.go_on("train")
    status = job.wait_for("Succeeded", seconds=90)
    assert (status["attempt"], status.get("restarts"), job.runs) == (1, None, ONE_RUN)


@at_once
def test_what_others_add_stays_and_costs_no_call(stage):
    job = stage.job("shared")
    job.hold("train")
    job.start()
    job.traffic.come_to_rest()
    before = len(job.traffic.calls)
    port = {"name": "extra", "port": 9999, "protocol": "TCP", "targetPort": 9999}
    job.patch("Service", "train", {"spec": {"ports": [port]}}, content_type=STRATEGIC)
    job.patch("Service", "train", {"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}})
    job.traffic.come_to_rest()
    found = job.child("Service", "train")
    assert (port in found["spec"]["ports"], found["metadata"]["labels"]["team"]) == (True, "a")
    assert len(job.traffic.calls) == before
    job.go_on("train")
    job.wait_for("Succeeded")


@at_once
def test_what_is_deleted_by_hand_is_made_again_once_but_no_configuration(stage):
    """A configuration is of one run, and its pods have read it."""
    job = stage.job("missing")
    job.hold("train")
    job.start()
    for kind, suffix in (("Service", "train"), ("NetworkPolicy", "train"), ("ConfigMap", "a1")):
        job.delete(kind, suffix)
    until(lambda: job.child("Service", "train") and job.child("NetworkPolicy", "train"), seconds=30, what="both")
    job.traffic.come_to_rest()
    assert {kind: job.traffic.made[kind, f"{job.name}-train"] for kind in RESOURCES.values()} == {
        "services": 2,
        "networkpolicies": 2,
    }
    assert job.child("ConfigMap", "a1") is None
    job.go_on("train")
    job.wait_for("Succeeded")


# ---- servers --------------------------------------------------------------------------------------------------------------------------


@at_once
def test_servers_that_are_changed_by_hand_are_put_right_once_and_additions_stay(stage):
    job = stage.served("api")
    revision = deployment_status(job.bed, job.name)["stable"]["revision"]
    before = job.child("Deployment", revision)
    applied = len(job.traffic.applied("deployments"))
    job.patch("Deployment", revision, {"spec": {"replicas": 3}})
    server = {"name": "server", "image": "other:1", "env": [{"name": "EXTRA", "value": "1"}]}
    change = {"spec": {"template": {"spec": {"containers": [server]}}}}
    until(lambda: job.child("Deployment", revision)["spec"]["replicas"] == 1, seconds=30, what="one replica")
    job.patch("Deployment", revision, change, content_type=STRATEGIC)
    job.traffic.come_to_rest(seconds=30)
    found = job.child("Deployment", revision)
    (server,), (ours,) = (one["spec"]["template"]["spec"]["containers"] for one in (found, before))
    assert (found["spec"]["replicas"], server["image"]) == (1, ours["image"])
    assert {"name": "EXTRA", "value": "1"} in server["env"]
    assert len(job.traffic.applied("deployments")) == applied + 2
    until(lambda: is_ready(stage.bed, job.name), seconds=60, what="ready servers")


@at_once
def test_a_servers_children_that_are_deleted_by_hand_are_made_again_once(stage):
    job = stage.served("rebuilt")
    revision = deployment_status(job.bed, job.name)["stable"]["revision"]
    for kind in ("ConfigMap", "Service", "Deployment"):
        job.delete(kind, revision)
    job.bed.delete("Service", job.name)
    name = f"{job.name}-{revision}"
    until(
        lambda: job.traffic.made["deployments", name] == 2 and is_ready(stage.bed, job.name),
        seconds=60,
        what="ready servers",
    )
    job.traffic.come_to_rest(seconds=30)
    assert job.traffic.made == {
        ("configmaps", name): 2,
        ("services", name): 2,
        ("services", job.name): 2,
        ("deployments", name): 2,
    } | {key: count for key, count in job.traffic.made.items() if key[0] == "events"}


# ---- names that are taken, labels that are taken off ------------------------------------------------------------------------------------

TAKEN = {
    "taken-1": ("Job", "prepare"),
    "taken-2": ("Job", "a1"),
    "taken-3": ("Job", "export"),
    "taken-4": ("ConfigMap", "prepare"),
    "taken-5": ("ConfigMap", "a1"),
    "taken-6": ("Service", "train"),
    "taken-7": ("NetworkPolicy", "train"),
}
"""Which child's name somebody else uses, by the job's name."""
POD = {"spec": {"restartPolicy": "Never", "containers": [{"name": "theirs", "image": "theirs"}]}}
THEIRS = {
    "Job": {"apiVersion": "batch/v1", "spec": {"suspend": True, "template": POD}},
    "ConfigMap": {"apiVersion": "v1", "data": {"theirs": "1"}},
    "Service": {"apiVersion": "v1", "spec": {"clusterIP": "None", "selector": {"app": "theirs"}}},
    "NetworkPolicy": {
        "apiVersion": "networking.k8s.io/v1",
        "spec": {"podSelector": {"matchLabels": {"app": "theirs"}}},
    },
}


@at_once
def test_an_object_of_somebody_else_is_named_and_left_alone_and_once_it_is_gone_the_job_goes_on(stage):
    jobs = {name: stage.job(name) for name in TAKEN}
    for name, (kind, suffix) in TAKEN.items():
        labels = {MANAGED: "tuneloop", JOB_LABEL: name}  # labels alone make nothing ours
        stage.bed.create(
            kind, {"kind": kind, "metadata": {"name": f"{name}-{suffix}", "labels": labels}, **THEIRS[kind]}
        )
        stage.bed.submit(name)
    for name, (kind, suffix) in TAKEN.items():
        told = until(
            lambda name=name: stage.bed.condition(name, "NameConflict"), seconds=60, what=f"a conflict of {name}"
        )
        assert f"{kind} {name}-{suffix} is not ours" in told["message"]
    stage.job("taken").traffic.come_to_rest()  # all of them: their names begin so
    for name, (kind, suffix) in TAKEN.items():
        theirs = jobs[name].child(kind, suffix)
        assert "tuneloop" not in {one["manager"] for one in theirs["metadata"]["managedFields"]}
        jobs[name].delete(kind, suffix)
    for name, job in jobs.items():
        job.wait_for("Succeeded")
        assert stage.bed.condition(name, "NameConflict") is None
        assert set(job.runs.values()) == {1}


@at_once
def test_a_service_of_somebody_else_is_named_and_left_alone_and_once_it_is_gone_the_servers_come_up(stage):
    job = stage.job("taken-api")
    theirs = stage.bed.create("Service", {"kind": "Service", "metadata": {"name": job.name}, **THEIRS["Service"]})
    deploy(stage.bed, job.name)
    conflict = until(lambda: conflict_of(job), seconds=60, what="a conflict")
    assert f"Service {job.name} is not ours" in conflict["message"]
    job.traffic.come_to_rest()
    assert stage.bed.get("Service", job.name) == theirs
    stage.bed.delete("Service", job.name)
    until(lambda: is_ready(stage.bed, job.name), seconds=60, what="ready servers")
    assert conflict_of(job) is None
    assert (
        job.traffic.made["deployments", f"{job.name}-{deployment_status(job.bed, job.name)['stable']['revision']}"] == 1
    )


def conflict_of(job: Story):
    found = deployment_status(job.bed, job.name).get("conditions", ())
    return next((one for one in found if one["type"] == "NameConflict"), None)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        pytest.param("disowned-1", MANAGED, id="the one that is watched by"),
        pytest.param("disowned-2", JOB_LABEL, id="the one that names the job"),
        pytest.param("disowned-3", "tuneloop.dev/stage", id="the one that names the stage"),
    ],
)
@at_once
def test_a_training_job_without_our_label_is_replaced_but_not_before_its_pods_have_ended(stage, name, label):
    job = stage.job(name)
    job.hold("train")
    job.start()
    job.patch("Job", "a1", {"metadata": {"labels": {label: None}}})
    job.wait_for("Restarting")
    job.traffic.come_to_rest()
    assert job.runs == {"prepare": 1, "a1": 1}
    job.go_on("train")
    status = job.wait_for("Succeeded")
    assert (status["attempt"], status["restarts"]["disruption"]) == (2, 1)
    job.traffic.come_to_rest()
    assert job.runs == ONE_RUN | {"a2": 1}


@at_once
def test_a_pod_without_our_label_is_still_heard_as_it_ends(stage):
    job = stage.job("muted")
    job.hold("train")
    job.start()
    (first, *_) = sorted(pod["metadata"]["name"] for pod in gang(job))
    job.bed.patch("Pod", first, {"metadata": {"labels": {MANAGED: None}}})
    job.traffic.come_to_rest()
    job.go_on("train")
    status = job.wait_for("Succeeded")
    assert (status["attempt"], job.runs) == (1, ONE_RUN)


def test_the_operator_stumbles_over_nothing_of_all_this(told, world):
    wait(told.values())
    assert world.operator.process.poll() is None
    assert "unexpected error" not in world.operator.log
