"""Which pods are routers that divide requests, and which compare."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_operator.controller.observe.attendant_pods import comparator_pods, router_pods

LABELS = {"tuneloop.dev/deployment": "api", "tuneloop.dev/component": "router"}


def pod(name: str = "api-router-a", *, labels: dict[str, str] = LABELS, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "team-a", "uid": f"u-{name}", "labels": labels}
    return {"kind": "Pod", "metadata": metadata | fields.pop("metadata", {}), "spec": {}} | fields


@pytest.mark.parametrize(
    ("manifest", "counts"),
    [
        pytest.param(pod(), True, id="one that starts"),
        pytest.param(pod(status={"phase": "Running"}), True, id="one that runs"),
        pytest.param(pod(status={"phase": "Failed", "reason": "Evicted"}), False, id="one that was evicted"),
        pytest.param(pod(status={"phase": "Succeeded"}), False, id="one that has ended"),
        pytest.param(pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), False, id="one that drains"),
        pytest.param(pod(labels={"tuneloop.dev/revision": "7d1f"}), False, id="a server"),
        pytest.param(pod() | {"kind": "Deployment"}, False, id="no pod"),
    ],
)
def test_routers_are_the_pods_in_which_one_runs_or_may_start(manifest: dict[str, Any], counts: bool) -> None:
    assert bool(router_pods([manifest], mount_failures={})) is counts


def test_a_router_is_seen_with_its_readiness_and_what_keeps_it_from_running() -> None:
    waiting = {"name": "router", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    beside = {"name": "mesh", "state": {"running": {}}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    first, second = router_pods(
        [pod("b", status=ready), pod("a", status={"containerStatuses": [beside, waiting]})], mount_failures={}
    )
    assert (first.name, first.ready, first.waiting, first.waiting_message) == ("a", False, "ErrImagePull", "no such image")  # fmt: skip
    assert (second.name, second.ready, second.waiting) == ("b", True, "")


def test_the_pod_of_a_comparator_is_none_of_a_router_and_has_its_port_in_local_mode() -> None:
    labels = LABELS | {"tuneloop.dev/component": "comparator"}
    annotations = {"tuneloop.dev/local-url": "http://127.0.0.1:5009"}
    beside = pod("api-comparator-a", labels=labels, metadata={"annotations": annotations})
    ended = pod("api-comparator-b", labels=labels, status={"phase": "Failed"})
    (found,) = comparator_pods([beside, ended, pod()])
    assert (found.name, found.port) == ("api-comparator-a", 5009)
    assert [router.name for router in router_pods([beside, pod()], mount_failures={})] == ["api-router-a"]
