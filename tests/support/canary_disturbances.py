"""What happens on a node to a deployment whose canary waits for a person at half of the requests: pods and programs go, and come again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster_canary_deployment import following, routers
from cluster_stories import kill_processes

if TYPE_CHECKING:
    from cluster_release import Object, Tenant
    from request_load import Load

COMPARATOR = "tuneloop.dev/component=comparator"


def a_router_goes(tenant: Tenant, load: Load) -> str:
    """Delete one of the two, and wait for another one in its place; return its name. The other one carries what it carried."""
    gone = str(routers(tenant)[0]["metadata"]["name"])
    tenant.kubectl("delete", "pod", gone, "--wait=false")
    load.next(20)
    tenant.until(lambda: following(tenant) == 2, what="a router in its place")
    return gone


def evict_both(tenant: Tenant, revision: str) -> list[int]:
    """Evict both servers of a revision, as the drain of a node does, and the one that was refused again until it goes; return the first two answers."""
    first, second = tenant.pods(f"tuneloop.dev/revision={revision}")
    evictions = [evict(tenant, pod) for pod in (first, second)]
    tenant.until(lambda: evict(tenant, second) == 201, what="the second eviction")
    return evictions


def evict(tenant: Tenant, pod: Object) -> int:
    metadata = {"name": pod["metadata"]["name"], "namespace": tenant.namespace}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{tenant.namespace}/pods/{metadata['name']}/eviction"
    return int(tenant.release.cluster.request("POST", path, body).status)


def the_comparator_is_killed(tenant: Tenant) -> str:
    """Delete its pod without a good-bye, and wait for a ready one in its place; return the name of that one."""
    (pod,) = tenant.pods(COMPARATOR)
    gone = pod["metadata"]["name"]
    tenant.kubectl("delete", "pod", gone, "--grace-period=0", "--force")

    def successor() -> str:
        ready = [found["metadata"]["name"] for found in tenant.pods(COMPARATOR) if _is_ready(found)]
        return next((name for name in ready if name != gone), "")

    return tenant.until(successor, what="another comparator")


def the_operator_is_killed(tenant: Tenant) -> int:
    """Kill its processes, and wait until the kubelet has started it again; return how often it was started again."""
    release = tenant.release
    before = _restarts(release.operator_pod())
    kill_processes(release.operator_pod())

    def restarted() -> int:
        pod = release.operator_pod()
        return _restarts(pod) if _restarts(pod) > before and _is_ready(pod) else 0

    return tenant.until(restarted, what="another operator")


def _restarts(pod: Object) -> int:
    return sum(found["restartCount"] for found in pod["status"].get("containerStatuses", ()))


def _is_ready(pod: Object) -> bool:
    conditions: list[dict[str, Any]] = pod["status"].get("conditions", [])
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)
