"""Two releases with different settings in one namespace: one acts, the other leaves the namespace alone, says so, and goes on after the first."""

from __future__ import annotations

import time

import pytest
from cluster_tier import fresh_namespace
from operator_counts import samples
from operator_process import RunningOperator
from waiting import until

LEASE_PATH = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/owner.tuneloop.dev"
LEASE_SECONDS = 10
WATCHED_SECONDS = 10
DEPLOYMENT = {
    "apiVersion": "tuneloop.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "api"},
    "spec": {"model": {"uri": "pvc://models/artifact"}},
}


@pytest.fixture
def releases(custom_resources, own_place, tmp_path):
    """Return a function that starts a release: an operator with a release namespace, and so an election, of its own."""
    running = []
    with fresh_namespace(custom_resources) as first_home, fresh_namespace(custom_resources) as second_home:
        homes = {"first": first_home, "second": second_home}

        def start(name, *, watched=own_place.namespace, **settings):
            settings |= {"pod_namespace": homes[name], "namespaces": watched}
            settings |= {"namespace_lease_seconds": LEASE_SECONDS, "lease_name": name}
            running.append(RunningOperator(custom_resources, tmp_path, pod=f"{name}-0", **settings))
            running[-1].start()
            return running[-1].wait_ready().wait_leading()

        yield start
        for process in running:
            process.kill()


def versions_of(place, kind, name, *, seconds):
    """Return the resourceVersions that an object has within so many seconds."""
    found, deadline = set(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        found.add(place.get(kind, name)["metadata"]["resourceVersion"])
        time.sleep(0.1)
    return found


def holder_of(place):
    lease = place.request("GET", LEASE_PATH.format(namespace=place.namespace))
    return lease.body["spec"]["holderIdentity"] if lease.status == 200 else ""


@pytest.mark.parametrize("everywhere", [False, True], ids=["namespaced", "cluster"])
def test_one_of_two_releases_acts_and_the_other_says_that_it_does_not(releases, own_place, everywhere):
    place = own_place
    first = releases("first", uid="1000")
    place.create("ModelDeployment", DEPLOYMENT)
    until(lambda: (place.get("ModelDeployment", "api") or {}).get("status"), seconds=20, what="a status")
    second = releases("second", uid="2000", watched="" if everywhere else place.namespace)
    until(lambda: place.namespace in second.get("/readyz")[1], seconds=20, what="words of the second release")

    assert len(versions_of(place, "ModelDeployment", "api", seconds=WATCHED_SECONDS)) == 1
    (made,) = place.all("Deployment")
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 1000
    assert holder_of(place).endswith("/first")
    words = f"namespace {place.namespace} is left alone: the release {holder_of(place)} acts there"
    assert second.get("/readyz")[1].count(words) == 1
    assert len([line for line in second.log_lines if line["message"].startswith(words)]) == 1
    assert samples(second)["tuneloop_foreign_namespaces", frozenset()] >= 1
    assert first.get("/readyz") == (200, "ok\n")


@pytest.mark.parametrize("by_hand", [False, True], ids=["the Lease expires", "somebody deletes the Lease"])
def test_the_other_release_goes_on_after_the_first(releases, own_place, by_hand):
    place = own_place
    first = releases("first")
    place.submit("old")
    place.wait_for_phase("old", "Preparing")
    second = releases("second")
    assert first.terminate() == 0
    ended = time.monotonic()
    made = place.submit("new")
    (event,) = place.events_of(made)
    assert event["reason"] == "NamespaceHeld"
    if by_hand:
        assert place.request("DELETE", LEASE_PATH.format(namespace=place.namespace)).status == 200
    place.wait_for_phase("new", "Preparing", seconds=3 * LEASE_SECONDS)
    print(f"went on after {time.monotonic() - ended:.1f} s")
    assert holder_of(place).endswith("/second")
    assert second.get("/readyz") == (200, "ok\n")


def test_a_new_pod_of_the_same_release_does_not_wait(replica, own_place):
    first = replica("operator-0").wait_ready().wait_leading()
    own_place.submit("old")
    own_place.wait_for_phase("old", "Preparing")
    second = replica("operator-1", trainer_image="registry.example.com/trainer:2").wait_ready()
    assert first.terminate() == 0
    second.wait_leading()
    own_place.submit("new")
    own_place.wait_for_phase("new", "Preparing", seconds=10)
