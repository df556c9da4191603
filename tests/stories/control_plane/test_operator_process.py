"""The operator as a process on a real API server: starting, working, leading, ending."""

from __future__ import annotations

import json
import signal
import ssl
import time
import urllib.error
import urllib.request
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest
from cluster.control_plane import ControlPlane
from fault_proxy import FaultProxy, Match, Rule, StallWatch, WatchError
from operator_process import RunningOperator, eventually
from prometheus_client.parser import text_string_to_metric_families

JOBS = "/apis/tuneloop.dev/v1alpha1/namespaces/{}/finetunejobs"
BATCH_JOBS = "/apis/batch/v1/namespaces/{}/jobs"
SPEC = {
    "model": {"uri": "hf://FacebookAI/roberta-base"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
    "resources": {"nodes": 2, "gpusPerNode": 0},
    "storage": {"claim": "models"},
}
WATCHED = [
    "finetunejobs",
    "modeldeployments",
    "jobs",
    "pods",
    "services",
    "configmaps",
    "deployments",
    "networkpolicies",
]
WRITES = {"create", "update", "patch", "delete"}
_NUMBERS = count(1)


class Place:
    """A namespace of its own, and what a user does in it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.name = f"operator-{next(_NUMBERS)}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
        assert plane.request("POST", "/api/v1/namespaces", body).status == 201

    def submit(self, name="reviews"):
        """Create a FineTuneJob and return it as stored."""
        body = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}, "spec": SPEC}
        reply = self.plane.request("POST", JOBS.format(self.name), body)
        assert reply.status == 201, reply.body
        return reply.body

    def stored(self, path, name, *, seconds=10.0):
        """Return the object once it is there."""

        def look():
            reply = self.plane.request("GET", f"{path.format(self.name)}/{name}")
            return reply.body if reply.status == 200 else None

        return eventually(look, seconds=seconds, what=name)

    def events_of(self, manifest):
        """Return the Events about an object, once there are any: they are written last."""

        def told():
            path = f"/apis/events.k8s.io/v1/namespaces/{self.name}/events"
            items = self.plane.request("GET", path).body["items"]
            return [one for one in items if one["regarding"].get("uid") == manifest["metadata"]["uid"]]

        return eventually(told, seconds=10, what="an Event")

    def delete(self, name):
        """Delete a FineTuneJob."""
        assert self.plane.request("DELETE", f"{JOBS.format(self.name)}/{name}").status == 200


@pytest.fixture(scope="module")
def place(custom_resources):
    """The namespace that `operator` watches; each test uses another name in it."""
    return Place(custom_resources)


@pytest.fixture(scope="module")
def operator(custom_resources, place, tmp_path_factory):
    """One replica for the tests that do not end it."""
    folder = tmp_path_factory.mktemp("operator")
    home = Place(custom_resources).name
    with RunningOperator(custom_resources, folder, namespaces=place.name, pod_namespace=home) as running:
        running.wait_ready().wait_leading()
        eventually(lambda: "endpointslices" in written(running), seconds=10, what="the address")
        yield running


@pytest.fixture
def own_place(custom_resources):
    """The namespace that the replicas of one test watch."""
    return Place(custom_resources)


@pytest.fixture
def replica(custom_resources, own_place, tmp_path):
    """Return a function that starts a replica; those of one test share one Lease."""
    home, running = Place(custom_resources).name, []

    def start(pod="operator-0", **settings):
        settings = {"pod_namespace": home, "namespaces": own_place.name} | settings
        running.append(RunningOperator(custom_resources, tmp_path, pod=pod, **settings))
        running[-1].start()
        return running[-1]

    yield start
    for one in running:
        one.kill()


def values(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples of a Prometheus text."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def calls(operator: RunningOperator) -> dict[frozenset[tuple[str, str]], float]:
    """Return how often the API server was asked, by verb, resource and code; the Lease is left out."""
    return {
        labels: value
        for (name, labels), value in values(operator.metrics()).items()
        if name == "tuneloop_api_calls_total" and ("resource", "leases") not in labels
    }


def written(operator: RunningOperator) -> set[str]:
    """Return the resources that the operator wrote; the Lease is left out."""
    asked = map(dict, calls(operator))
    return {one["resource"] for one in asked if one["verb"] in WRITES and one["code"] in {"200", "201"}}


def reconciles(operator: RunningOperator) -> float:
    found = values(operator.metrics())
    return found.get(("tuneloop_reconcile_seconds_count", frozenset({("kind", "FineTuneJob")})), 0.0)


def holder(plane: ControlPlane, home: str) -> str | None:
    lease = plane.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{home}/leases/tuneloop-operator")
    return lease.body["spec"].get("holderIdentity")


# ---- work -----------------------------------------------------------------------------------------------------------------------------


def test_a_job_gets_its_first_stage_which_it_owns(operator, place):
    job = place.submit("owner")
    (owner,) = place.stored(BATCH_JOBS, "owner-prepare")["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (job["metadata"]["uid"], True)


def test_the_status_says_what_is_on(operator, place):
    place.submit("phase")

    def phase():
        return place.stored(JOBS, "phase").get("status", {}).get("phase")

    eventually(lambda: phase() == "Preparing", seconds=10, what="Preparing")


def test_nothing_is_added_to_a_users_object_but_its_status(operator, place):
    job = place.submit("clean")
    place.events_of(job)
    before, after = job["metadata"], place.stored(JOBS, "clean")["metadata"]
    ignored = {"resourceVersion", "managedFields"}
    assert {k: v for k, v in after.items() if k not in ignored} == {k: v for k, v in before.items() if k not in ignored}


def test_what_happens_is_told_in_an_event(operator, place):
    (event,) = place.events_of(place.submit("told"))
    assert (event["reason"], event["note"], event["reportingInstance"]) == (
        "Started",
        "prepare: Job told-prepare",
        operator.pod,
    )


def test_a_change_that_changes_nothing_costs_no_call(replica, own_place):
    operator = replica().wait_ready().wait_leading()
    eventually(lambda: "endpointslices" in written(operator), seconds=10, what="the address")
    own_place.events_of(own_place.submit())
    before, asked = reconciles(operator), calls(operator)
    own_place.plane.request(
        "PATCH",
        f"{JOBS.format(own_place.name)}/reviews",
        {"metadata": {"labels": {"team": "a"}}},
        content_type="application/merge-patch+json",
    )
    eventually(lambda: reconciles(operator) > before, seconds=10, what="another look at the job")
    assert calls(operator) == asked


def test_a_new_leader_writes_nothing_to_what_is_settled(replica, own_place):
    first = replica("operator-0").wait_ready().wait_leading()
    own_place.events_of(own_place.submit())
    assert first.terminate() == 0
    second = replica("operator-1").wait_ready().wait_leading()
    eventually(lambda: reconciles(second), seconds=10, what="a look at the job")
    eventually(lambda: written(second), seconds=10, what="the address")
    assert written(second) == {"endpointslices"}


def test_only_our_children_are_asked_for(operator, custom_resources):
    asked = [json.loads(line) for line in custom_resources.audit_log.read_text().splitlines()]
    ours = [one["requestURI"] for one in asked if one.get("userAgent", "").startswith("kopf/")]
    selectors = {parse_qs(urlsplit(uri).query).get("labelSelector", [""])[0] for uri in ours if "/pods?" in uri}
    assert selectors == {"app.kubernetes.io/managed-by=tuneloop"}


def test_only_the_named_namespaces_are_watched(replica, own_place, custom_resources, tmp_path):
    with FaultProxy(custom_resources, folder=tmp_path / "proxy") as proxy:
        replica(kubeconfig=proxy.kubeconfig).wait_ready()
        asked = [call for call in proxy.trace if call.verb in {"list", "watch"}]
    assert {(one.resource, one.namespace) for one in asked} == {(resource, own_place.name) for resource in WATCHED}


# ---- metrics --------------------------------------------------------------------------------------------------------------------------


def test_the_metrics_of_a_job_go_with_it(operator, place):
    place.submit("passing")
    named = frozenset({("namespace", place.name), ("name", "passing")})

    def series():
        return [name for name, labels in values(operator.metrics()) if named <= labels]

    progress = {"status": {"progress": {"percent": "1%"}}}
    path = f"{JOBS.format(place.name)}/passing/status"
    place.plane.request("PATCH", path, progress, content_type="application/merge-patch+json")
    eventually(series, seconds=10, what="series of the job")
    place.delete("passing")
    eventually(lambda: not series(), seconds=10, what="no series of a deleted job")


@pytest.mark.parametrize(
    "name",
    [
        "tuneloop_build_info",
        "tuneloop_leader",
        "tuneloop_work_queue_depth",
        "tuneloop_work_queue_wait_seconds",
        "tuneloop_reconcile_seconds",
        "tuneloop_reconcile_errors",
        "tuneloop_api_calls",
        "tuneloop_api_call_seconds",
        "tuneloop_jobs",
        "tuneloop_model_deployments",
        "tuneloop_job_progress_ratio",
        "process_resident_memory_bytes",
    ],
)
def test_the_metrics_have(operator, name):
    assert name in {family.name for family in text_string_to_metric_families(operator.metrics())}


def test_an_idle_operator_fits_into_its_memory(operator, record_property):
    record_property("idle_resident_bytes", operator.resident_bytes)
    print(f"idle: {operator.resident_bytes / 2**20:.0f} MiB")
    assert operator.resident_bytes < 120 * 2**20


# ---- the progress server --------------------------------------------------------------------------------------------------------------


def post_progress(operator: RunningOperator, namespace: str, job: str, *, token: str) -> int:
    tls = ssl.create_default_context(cafile=str(operator.certificate / "ca.crt"))
    url = f"https://localhost:{operator.progress_port}/v1/namespaces/{namespace}/finetunejobs/{job}/progress"
    request = urllib.request.Request(url, data=b"{}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, context=tls, timeout=10) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def test_progress_is_taken_over_tls_from_nobody_without_a_good_token(operator, place):
    place.submit("posting")
    place.stored(BATCH_JOBS, "posting-prepare")
    assert post_progress(operator, place.name, "posting", token="made-up") == 401


def test_the_pods_are_told_the_authority_of_the_progress_server(operator, place):
    place.submit("trusting")
    data = place.stored("/api/v1/namespaces/{}/configmaps", "trusting-prepare")["data"]
    assert (operator.certificate / "ca.crt").read_text() in data.values()


def test_the_leader_lets_the_progress_service_point_to_itself(operator, custom_resources):
    home = operator.environment["TUNELOOP_POD_NAMESPACE"]

    def slice_():
        path = f"/apis/discovery.k8s.io/v1/namespaces/{home}/endpointslices/tuneloop-progress"
        reply = custom_resources.request("GET", path)
        return reply.body if reply.status == 200 else None

    found = eventually(slice_, seconds=10, what="an EndpointSlice")
    (endpoint,) = found["endpoints"]
    assert (endpoint["addresses"], found["ports"][0]["port"]) == (
        [operator.environment["TUNELOOP_POD_IP"]],
        operator.progress_port,
    )


# ---- watches that break ---------------------------------------------------------------------------------------------------------------


def test_a_job_that_was_deleted_while_the_watch_was_broken_is_forgotten(replica, own_place, tmp_path):
    with FaultProxy(own_place.plane, folder=tmp_path / "proxy") as proxy:
        operator = replica(kubeconfig=proxy.kubeconfig).wait_ready().wait_leading()
        own_place.submit()
        own_place.stored(BATCH_JOBS, "reviews-prepare")
        jobs = Match(verb="watch", resource="finetunejobs")
        stall = proxy.add(Rule(jobs, StallWatch()))
        own_place.delete("reviews")
        expired = proxy.add(Rule(jobs, WatchError(410)))
        expired.wait()
        expired.remove()
        stall.remove()
        preparing = ("tuneloop_jobs", frozenset({("phase", "Preparing")}))
        eventually(lambda: values(operator.metrics())[preparing] == 0, seconds=15, what="a forgotten job")


def test_an_error_of_a_watch_does_not_end_the_operator(replica, own_place, tmp_path):
    with FaultProxy(own_place.plane, folder=tmp_path / "proxy") as proxy:
        operator = replica(kubeconfig=proxy.kubeconfig).wait_ready().wait_leading()
        broken = proxy.add(Rule(Match(verb="watch", resource="finetunejobs"), WatchError(500)))
        broken.wait()
        broken.remove()
        own_place.submit()
        own_place.stored(BATCH_JOBS, "reviews-prepare", seconds=15)
        assert operator.process.poll() is None


# ---- starting and ending --------------------------------------------------------------------------------------------------------------


def test_sigterm_ends_it_well_and_at_once(replica, custom_resources):
    operator = replica().wait_ready().wait_leading()
    begun = time.monotonic()
    assert operator.terminate() == 0, operator.log
    assert time.monotonic() - begun <= 3.0
    assert not holder(custom_resources, operator.environment["TUNELOOP_POD_NAMESPACE"])


def test_without_our_crds_it_ends_and_says_what_to_install(tmp_path):
    with ControlPlane(tmp_path / "plane") as plane:
        operator = RunningOperator(plane, tmp_path)
        operator.start()
        assert operator.wait() == 1
    (line,) = [one for one in operator.log_lines if one["level"] == "ERROR"]
    assert "FineTuneJob and ModelDeployment" in line["message"]
    assert "kubectl apply" in line["message"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        pytest.param({"workers": "many"}, "TUNELOOP_WORKERS='many': allowed is", id="a value that is not allowed"),
        pytest.param(
            {"worker": "8"},
            "TUNELOOP_WORKER is not a setting; the nearest one is TUNELOOP_WORKERS",
            id="a typing mistake",
        ),
        pytest.param({"pod_name": ""}, "TUNELOOP_POD_NAME is not set", id="one that is missing"),
        pytest.param({"tls_directory": "/nowhere"}, "/nowhere/tls.crt: No such file", id="no certificate"),
        pytest.param({"uid": "0"}, "TUNELOOP_UID='0'", id="a setting of decisions"),
    ],
)
def test_wrong_settings_end_it_with_one_line(tmp_path, settings, sentence):
    operator = RunningOperator(None, tmp_path, kubeconfig=tmp_path / "absent", **settings)
    operator.start()
    assert operator.wait() == 2
    (line,) = operator.log.splitlines()
    assert sentence in line


def test_it_waits_for_an_api_server_that_is_away(tmp_path, custom_resources):
    away = tmp_path / "kubeconfig"
    away.write_text(custom_resources.kubeconfig.read_text().replace(custom_resources.server_url, "https://127.0.0.1:1"))
    with RunningOperator(custom_resources, tmp_path, kubeconfig=away) as operator:
        eventually(lambda: "waiting for the API server" in operator.log, seconds=20, what="a line that says so")
        assert operator.get("/healthz")[0] == 200
        assert operator.get("/readyz")[0] == 503
        assert operator.terminate(seconds=3) == 0


# ---- two replicas ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        pytest.param(RunningOperator.terminate, 3.0, id="SIGTERM"),
        pytest.param(RunningOperator.kill, 20.0, id="SIGKILL"),
    ],
)
def test_the_other_replica_takes_over(replica, own_place, end, seconds, record_property):
    first = replica("operator-0").wait_ready().wait_leading()
    second = replica("operator-1").wait_ready()
    assert not second.leads
    begun = time.monotonic()
    end(first)
    second.wait_leading(seconds=seconds)
    taken = time.monotonic() - begun
    record_property("takeover_seconds", taken)
    print(f"taken over after {taken:.1f} s")
    assert taken <= seconds
    own_place.submit()
    own_place.stored(BATCH_JOBS, "reviews-prepare")


def test_a_leader_that_was_asleep_ends_once_another_leads(replica):
    first = replica("operator-0").wait_ready().wait_leading()
    second = replica("operator-1").wait_ready()
    first.process.send_signal(signal.SIGSTOP)
    second.wait_leading(seconds=20)
    first.process.send_signal(signal.SIGCONT)
    assert first.wait(seconds=10) == 1
    assert "operator-1 leads now" in first.log
    assert second.leads
