"""Three roll-outs of one deployment on a node, with routers, gates and a comparator, under a steady load: a good revision, one that errs, one too large for its memory."""

from __future__ import annotations

import http.client
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary_disturbances import COMPARATOR, a_router_goes, evict_both, the_comparator_is_killed, the_operator_is_killed
from cluster_canary_deployment import (
    address,
    deployment,
    following,
    rollout,
    routers,
    status,
    write_artifacts,
)
from cluster_feedback import FeedbackOfTwo, counted, feedback_of_two, label, secret, token
from enforced_policies import enforced, reaches
from request_load import ask, requests_of

if TYPE_CHECKING:
    from cluster_release import Object, Tenant
    from cluster_stories import Stage
    from request_load import Load

NAMESPACE = "canary"
MEMORY = "96Mi"
"""Enough for Python and not for torch."""
USERS = [f"user-{number}" for number in range(16)]


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """What was observed of the good revision at its share, and after it."""

    stable: str
    canary: str
    before: set[str]
    """Revisions that answered before it was offered."""
    columns: list[str]
    """What `kubectl get` showed after the name."""
    followed_by: int
    """Routers that followed the split."""
    gates: dict[str, Object]
    described: str
    """What `kubectl describe` printed."""
    comparator: Object
    policies: list[Object]
    users: dict[str, set[str]]
    """By user: the revisions that answered."""
    shares: Counter[str]
    gone_router: str
    routers: set[str]
    """After one was deleted."""
    evictions: list[int]
    """Status of the answers when two servers of stable are evicted at once."""
    new_comparator: str
    """Name of its pod after the first was killed."""
    new_operator: int
    """Restarts of the operator's container after it was killed."""
    after_the_kills: Object
    """`status.rollout` once the new operator waits for the person again."""
    reached: dict[str, bool]
    """Who reached the comparator while its policy was enforced."""
    feedback: FeedbackOfTwo
    """Of stable, before the canary was offered."""
    late: Object
    """What the Service answered to a token of a revision whose servers were gone by then."""
    late_counts: int
    """Labels for predictions of that revision in the metrics of the new servers."""


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """What was observed of a revision from its offer until stable alone answered."""

    revision: str
    record: Object
    """Its entry in `status.rollout.rejected`."""
    revisions: set[str]
    """That answered clients."""
    labels: list[str]
    """What clients got."""
    end: Object
    """How its server ended, in the kubelet's words; empty if it did not."""


@dataclass(frozen=True, kw_only=True)
class RolledOut:
    """What was observed of all three."""

    good: Promoted
    swapped: Rejected
    too_large: Rejected
    label: str
    """What every good revision answers."""
    failures: list[str]
    kept: int
    """Answers over a connection that was kept."""


def rolled_out(stage: Stage) -> RolledOut:
    """Run the three, one after another."""
    tenant = stage.release.in_namespace(NAMESPACE)
    write_artifacts(stage)
    tenant.apply(secret(), deployment("first"))
    tenant.until(lambda: status(tenant).get("phase") == "Ready", what="a served model")
    with requests_of(address(tenant)) as load:
        good = promoted(tenant, load, "second")
        (label,) = set(load.labels)
        swapped = rejected(tenant, load, deployment("swapped"))
        too_large = rejected(tenant, load, deployment("second", resources={"memory": MEMORY}))
    return RolledOut(
        good=good, swapped=swapped, too_large=too_large, label=label, failures=load.failures, kept=load.kept
    )


# ---- a good revision --------------------------------------------------------------------------------------------------------------------


def promoted(tenant: Tenant, load: Load, artifact: str) -> Promoted:
    """Offer it, look at it at half of the requests while a router and both servers of stable go, and approve it."""
    tenant.until(lambda: following(tenant) == 2, what="two routers")
    stable, before = status(tenant)["stable"]["revision"], set(load.next(20))
    feedback, of_stable = feedback_of_two(tenant, address(tenant), stable), token(address(tenant))
    tenant.apply(deployment(artifact))
    tenant.until(lambda: phase_of_rollout(tenant) == "Paused", what="a canary whose gates let it go on")
    at_half, canary = rollout(tenant), rollout(tenant)["canary"]
    (comparator,) = tenant.pods(COMPARATOR)
    observed: dict[str, Any] = {
        "columns": tenant.kubectl("get", "mdep", "reviews").splitlines()[1].split()[1:],
        "followed_by": following(tenant),
        "gates": {gate["name"]: gate for gate in at_half["gates"]},
        "described": tenant.kubectl("describe", "mdep", "reviews"),
        "policies": tenant.list("networkpolicies"),
        "users": {user: {revision_for(load.address, user) for _ in range(2)} for user in USERS},
        "shares": Counter(load.next(100)),
        "reached": who_reaches(tenant, comparator, stable),
    }
    gone = a_router_goes(tenant, load)
    observed |= {"routers": {pod["metadata"]["name"] for pod in routers(tenant)}}
    evictions = evict_both(tenant, stable)
    observed |= {"new_comparator": the_comparator_is_killed(tenant), "new_operator": the_operator_is_killed(tenant)}
    tenant.until(lambda: phase_of_rollout(tenant) == "Paused", what="the same pause after the kills")
    observed |= {"after_the_kills": rollout(tenant)}
    tenant.kubectl("annotate", "mdep", "reviews", "--overwrite", "tuneloop.dev/rollout=approve/1")
    tenant.until(lambda: is_promoted(tenant, canary), what="a promoted canary")
    # until the routers have dropped the old revision, it answers for servers that a busy machine keeps from saying that they are ready
    tenant.until(lambda: set(load.next(20)) == {canary}, what="answers of the canary alone")
    tenant.until(lambda: not tenant.pods(COMPARATOR), what="the end of the comparator")
    late = label(address(tenant), of_stable)
    new = tenant.pods(f"tuneloop.dev/revision={canary}")
    return Promoted(
        stable=stable,
        canary=canary,
        before=before,
        comparator=comparator,
        gone_router=gone,
        evictions=evictions,
        feedback=feedback,
        late=late,
        late_counts=sum(counted(pod, stable) for pod in new),
        **observed,
    )


def who_reaches(tenant: Tenant, comparator: Object, stable: str) -> dict[str, bool]:
    """Return who reaches the comparator while its policy is enforced."""
    server = tenant.pods(f"tuneloop.dev/revision={stable}")[0]
    with enforced(tenant, COMPARATOR):
        return {
            "router": reaches(routers(tenant)[0], comparator, 8080),
            "server": reaches(server, comparator, 8080),
            "server, its counts": reaches(server, comparator, 8081),
        }


def phase_of_rollout(tenant: Tenant) -> str:
    """Return the phase; fail at once where nothing goes on by itself."""
    found = rollout(tenant)
    phase = str(found.get("phase"))
    assert phase not in {"Held", "RolledBack"}, f"{found}\n{tenant.report()}"
    return phase


def revision_for(address: str, user: str) -> str:
    """Return the revision that answers a user over a new connection."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        return ask(connection, x_user=user).revision
    finally:
        connection.close()


def is_promoted(tenant: Tenant, revision: str) -> bool:
    found = status(tenant)
    return found["stable"]["revision"] == revision and found["rollout"]["phase"] == "Done" and found["phase"] == "Ready"


# ---- a bad revision ---------------------------------------------------------------------------------------------------------------------


def rejected(tenant: Tenant, load: Load, offered: Object) -> Rejected:
    """Offer it, and wait until it is rejected and stable alone answers."""
    known, answers, labels = len(rejections(tenant)), len(load.answers), len(load.labels)
    stable, end = status(tenant)["stable"]["revision"], {}
    tenant.apply(offered)

    def is_rejected() -> bool:
        nonlocal end
        end = end_of_a_server(tenant, stable) or end
        return len(rejections(tenant)) > known and rollout(tenant)["phase"] == "RolledBack"

    tenant.until(is_rejected, what=f"the rejection of {offered['spec']['model']}")
    tenant.until(lambda: set(load.next(20)) == {stable}, what="answers of stable alone")
    record = rejections(tenant)[-1]
    return Rejected(
        revision=record["revision"],
        record=record,
        revisions=set(load.answers[answers:]),
        labels=load.labels[labels:],
        end=end,
    )


def rejections(tenant: Tenant) -> list[Object]:
    return rollout(tenant).get("rejected") or []


def end_of_a_server(tenant: Tenant, stable: str) -> Object:
    """Return how a server of another revision than stable has ended by itself; empty if none has."""
    pods = tenant.pods(f"tuneloop.dev/revision,tuneloop.dev/revision!={stable}")
    for pod in (pod for pod in pods if "deletionTimestamp" not in pod["metadata"]):
        for container in pod["status"].get("containerStatuses", ()):
            if end := container.get("lastState", {}).get("terminated") or container["state"].get("terminated"):
                return dict(end)
    return {}
