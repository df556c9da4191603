"""The operator's watches on a real API server: what it asks for, and that it lives on when one breaks."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

from fault_proxy import FaultProxy, Match, Rule, StallWatch, WatchError
from operator_counts import samples
from waiting import until

WATCHED = [
    "finetunejobs",
    "modeldeployments",
    "jobs",
    "pods",
    "services",
    "configmaps",
    "deployments",
    "networkpolicies",
    "poddisruptionbudgets",
    "horizontalpodautoscalers",
]
JOBS = Match(verb="watch", resource="finetunejobs")


def test_only_our_children_are_asked_for(operator, custom_resources):
    requests = [json.loads(line) for line in custom_resources.audit_log.read_text().splitlines()]
    ours = [request["requestURI"] for request in requests if request.get("userAgent", "").startswith("kopf/")]
    selectors = {parse_qs(urlsplit(uri).query).get("labelSelector", [""])[0] for uri in ours if "/pods?" in uri}
    assert selectors == {"app.kubernetes.io/managed-by=tuneloop"}


def test_only_the_named_namespaces_are_watched(replica, own_place, custom_resources, tmp_path):
    with FaultProxy(custom_resources, folder=tmp_path / "proxy") as proxy:
        replica(kubeconfig=proxy.kubeconfig).wait_ready()
        calls = [call for call in proxy.trace if call.verb in {"list", "watch"}]
    assert {(call.resource, call.namespace) for call in calls} == {
        (resource, own_place.namespace) for resource in WATCHED
    }


def test_a_job_that_was_deleted_while_the_watch_was_broken_is_forgotten(replica, own_place, tmp_path):
    with FaultProxy(own_place.plane, folder=tmp_path / "proxy") as proxy:
        operator = replica(kubeconfig=proxy.kubeconfig).wait_ready().wait_leading()
        own_place.submit()
        own_place.stored("Job", "reviews-prepare")
        stall = proxy.add(Rule(JOBS, StallWatch()))
        own_place.delete("FineTuneJob", "reviews")
        expired = proxy.add(Rule(JOBS, WatchError(410)))
        expired.wait()
        expired.remove()
        stall.remove()
        preparing = ("tuneloop_jobs", frozenset({("phase", "Preparing")}))
        until(lambda: samples(operator)[preparing] == 0, seconds=15, what="a forgotten job")


def test_an_error_of_a_watch_does_not_end_the_operator(replica, own_place, tmp_path):
    with FaultProxy(own_place.plane, folder=tmp_path / "proxy") as proxy:
        operator = replica(kubeconfig=proxy.kubeconfig).wait_ready().wait_leading()
        broken = proxy.add(Rule(JOBS, WatchError(500)))
        broken.wait()
        broken.remove()
        own_place.submit()
        own_place.stored("Job", "reviews-prepare", seconds=15)
        assert operator.process.poll() is None
