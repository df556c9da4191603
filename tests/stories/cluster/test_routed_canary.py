"""A canary on a real node: routers carry all requests and give it its share. No request is lost, also while a router and a server are taken away.

The artifacts are made without training. The story runs beside others: much of the time it waits for the kubelet.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING, Any

from artifact import make_artifact
from cluster_release import OWNER, Tenant
from request_load import requests_of
from stories_at_once import at_once
from workspace import CLAIM, deployment_manifest

if TYPE_CHECKING:
    from cluster_stories import Stage
    from request_load import Load


ROUTERS = "tuneloop.dev/component=router"
HALF_THEN_ALL = [{"weight": 50, "pause": True}, {"weight": 100}]


@at_once
def test_a_canary_gets_half_and_then_all_of_the_requests_and_none_is_lost(stage):
    tenant = stage.release.in_namespace("canary")
    copy_artifacts(stage, "first", "second")
    tenant.apply(deployment("first"))
    tenant.until(lambda: phase(tenant) == "Ready", what="a served model")
    with requests_of(address(tenant)) as load:
        tenant.until(lambda: following(tenant) == 2, what="two routers")
        stable = status(tenant)["stable"]["revision"]
        assert set(load.next(20)) == {stable}
        tenant.apply(deployment("second"))
        tenant.until(lambda: rollout(tenant).get("phase") == "Paused", what="a canary with its share")
        canary = rollout(tenant)["canary"]
        assert columns(tenant)[:6] == ["Progressing", stable, canary, "50%", "2/2", "Paused"]
        assert following(tenant) == 2, "the step has begun"
        shares_are_even(load, stable, canary)
        a_router_goes(tenant, load)
        one_server_goes_at_a_time(tenant, stable)
        tenant.kubectl("annotate", "mdep", "reviews", "--overwrite", "tuneloop.dev/rollout=approve/1")
        tenant.until(lambda: is_promoted(tenant, canary), what="a promoted canary")
        # until the routers have dropped the old revision, it answers for servers that a busy machine keeps from saying that they are ready
        tenant.until(lambda: set(load.next(20)) == {canary}, what="answers of the canary alone")
    assert not load.failures
    assert load.kept > 0
    nobody_reaches_the_admin_pages_of_a_router(tenant)
    tenant.kubectl("delete", "mdep", "reviews", "--wait=false")


# ---- the deployment ---------------------------------------------------------------------------------------------------------------------


def deployment(artifact: str) -> dict[str, Any]:
    return deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/canary/{artifact}"},
        replicas=2,
        rollout={"strategy": "Canary", "steps": HALF_THEN_ALL, "rollback": {"baking": "0s", "window": "1s"}},
        lifecycle={"drain": "10s"},
    )


def copy_artifacts(stage: Stage, *names: str) -> None:
    """Make artifacts on the claim that differ in their heads."""
    folder = stage.release.claim / "canary"
    for seed, name in enumerate(names):
        make_artifact(folder / name, stage.release.claim / "model", seed=seed)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OWNER, OWNER)


def status(tenant: Tenant) -> dict[str, Any]:
    return tenant.status("modeldeployments", "reviews")


def phase(tenant: Tenant) -> str | None:
    return status(tenant).get("phase")


def rollout(tenant: Tenant) -> dict[str, Any]:
    found: dict[str, Any] = status(tenant).get("rollout") or {}
    return found


def address(tenant: Tenant) -> str:
    """Return the address of the Service that users call."""
    (service,) = [found for found in tenant.list("services") if found["metadata"]["name"] == "reviews"]
    return f"{service['spec']['clusterIP']}:80"


def following(tenant: Tenant) -> int:
    """Return how many routers follow the newest split, once the Service leads to them."""
    (service,) = [found for found in tenant.list("services") if found["metadata"]["name"] == "reviews"]
    if "tuneloop.dev/component" not in service["spec"]["selector"]:
        return 0
    found = rollout(tenant)
    alive = {pod["metadata"]["name"] for pod in routers(tenant) if is_ready(pod)}
    return sum(
        router["name"] in alive and router.get("generation") == found["split"]["generation"]
        for router in found.get("routers", ())
    )


def routers(tenant: Tenant) -> list[dict[str, Any]]:
    """Return the pods of routers that stay."""
    return [pod for pod in tenant.pods(ROUTERS) if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: dict[str, Any]) -> bool:
    return any((found["type"], found["status"]) == ("Ready", "True") for found in pod["status"].get("conditions", ()))


def is_promoted(tenant: Tenant, revision: str) -> bool:
    found = status(tenant)
    return found["stable"]["revision"] == revision and found["rollout"]["phase"] == "Done" and found["phase"] == "Ready"


def columns(tenant: Tenant) -> list[str]:
    """Return what `kubectl get` shows after the name."""
    _, row = tenant.kubectl("get", "mdep", "reviews").splitlines()
    return row.split()[1:]


# ---- what must hold at half -------------------------------------------------------------------------------------------------------------


def shares_are_even(load: Load, *revisions: str) -> None:
    """100 throws of a fair coin give 29 to 71 heads but in one of 50,000 cases."""
    counts = Counter(load.next(100))
    assert set(counts) == set(revisions)
    assert all(29 <= count <= 71 for count in counts.values()), counts


def a_router_goes(tenant: Tenant, load: Load) -> None:
    """Delete one of the two. The other one carries what it carried."""
    gone = routers(tenant)[0]["metadata"]["name"]
    tenant.kubectl("delete", "pod", gone, "--wait=false")
    load.next(20)
    tenant.until(lambda: following(tenant) == 2, what="a router in its place")
    assert gone not in {pod["metadata"]["name"] for pod in routers(tenant)}


def one_server_goes_at_a_time(tenant: Tenant, stable: str) -> None:
    """Evict both servers of stable, as the drain of a node does: the second one is refused while the first one has no successor, and goes right after."""
    first, second = tenant.pods(f"tuneloop.dev/revision={stable}")
    assert [evict(tenant, pod) for pod in (first, second)] == [201, 429]
    tenant.until(lambda: evict(tenant, second) == 201, what="the second eviction")


def evict(tenant: Tenant, pod: dict[str, Any]) -> int:
    metadata = {"name": pod["metadata"]["name"], "namespace": tenant.namespace}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{tenant.namespace}/pods/{metadata['name']}/eviction"
    return int(tenant.release.cluster.request("POST", path, body).status)


# ---- after it ---------------------------------------------------------------------------------------------------------------------------


def nobody_reaches_the_admin_pages_of_a_router(tenant: Tenant) -> None:
    """Whoever may reach both ports of a router finds its metrics there, and nothing by which it is read out or changed."""
    pod = routers(tenant)[0]
    at = f"http://{pod['status']['podIP']}:8081"
    assert page(f"{at}/metrics") == 200
    assert [page(f"{at}{path}") for path in ("/config_dump", "/clusters", "/")] == [404, 404, 404]
    assert page(f"{at}/quitquitquit", method="POST") == 404
    inside = ("exec", pod["metadata"]["name"], "-n", tenant.namespace, "--", "python", "-c", LISTENING)
    listening = tenant.release.cluster.kubectl(*inside)
    assert listening.returncode == 0, listening.stderr
    assert set(listening.stdout.split()) == {"8080", "8081"}, "the admin pages are on a socket of the pod's own"


LISTENING = """
rows = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}").readlines()[1:]]
print(*{int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"})
"""
"""The TCP ports on which a pod listens."""


def page(url: str, *, method: str = "GET") -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
