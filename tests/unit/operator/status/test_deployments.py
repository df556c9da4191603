"""What the status of a ModelDeployment shows: the whole status, for each state of its servers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from stored_conditions import condition

from tuneloop_api.crd.generator import RESOURCES, root_schema
from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_api.v1alpha1.failure import ServingFailure
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import Blocker, ObservedDeployment
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL, Serving, refused, shown, waiting

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SETTINGS = OperatorSettings()
METADATA = {"name": "api", "namespace": "team-a", "uid": "u", "generation": 4}
OLD = {"revision": "old", "digest": "sha256:aa", "uri": "pvc://models/old", "replicas": 1, "readyReplicas": 1}
QUOTA = Blocker(reason="Refused", message="exceeded quota")


def observed(
    status: dict[str, Any] | None = None, *, spec: dict[str, Any] | None = None, **fields: Any
) -> ObservedDeployment:
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": METADATA,
        "spec": {"model": {"uri": "pvc://models/new"}} | (spec or {}),
    } | ({"status": status} if status else {})
    given: dict[str, Any] = {"manifest": manifest, "present": {}} | fields
    return ObservedDeployment(deployment=ModelDeployment.from_wire(manifest), **given)


def serving(**fields: Any) -> Serving:
    usual: dict[str, Any] = {"revision": "new", "uri": "pvc://models/new", "digest": None, "replicas": 2, "ready": 0}
    return Serving(**usual | fields)


ACCEPTED = condition("Accepted", reason="Accepted")
FOUND = condition("ModelAvailable", reason="ArtifactFound", message="pvc://models/new")
NOT_READ = condition("ModelAvailable", reason="NotRead", message="no server has read pvc://models/new yet") | {"status": "Unknown"}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "before", "phase", "stable", "ready", "message"),
    [
        ({}, None, "Loading", None, "0/2", "0 of 2 servers of revision new answer"),
        ({"trouble": "no room"}, None, "Loading", None, "0/2", "no room"),
        ({"ready": 1}, None, "Degraded", 1, "1/2", "1 of 2 servers of revision new answer"),
        ({"ready": 2}, None, "Ready", 2, "2/2", "2 of 2 servers of revision new answer"),
        ({"ready": 3}, None, "Ready", 3, "3/2", "3 of 2 servers of revision new answer"),
        (
            {"replicas": 0},
            None,
            "Ready",
            0,
            "0/0",
            "no servers are asked for (replicas: 0), and no request is answered",
        ),
        ({}, OLD, "Progressing", "old", "0/2", "0 of 2 servers of revision new answer"),
        ({"ready": 1}, OLD, "Degraded", 1, "1/2", "1 of 2 servers of revision new answer"),
        ({}, OLD | {"revision": "new"}, "Degraded", 0, "0/2", "0 of 2 servers of revision new answer"),
    ],
)
def test_the_whole_status_of_a_deployment_whose_artifact_is_known(
    given: dict[str, Any], before: dict[str, Any] | None, phase: str, stable: Any, ready: str, message: str
) -> None:
    made = serving(**given)
    stable_now = {
        "revision": "new",
        "digest": "",
        "uri": "pvc://models/new",
        "replicas": made.replicas,
        "readyReplicas": stable,
    }
    is_ready = phase == "Ready"
    reason = phase if not is_ready else "AllReady" if made.replicas else "ScaledToZero"
    expected = {
        "observedGeneration": 4,
        "phase": phase,
        "conditions": [
            ACCEPTED,
            NOT_READ if stable in {None, "old"} else FOUND,
            condition("Ready", true=is_ready, reason=reason, message=message),
            *([] if is_ready else [condition("Reconciling", reason=phase, message=message)]),
        ],
        "ready": ready,
        "url": "http://api.team-a.svc",
    }
    expected |= {"stable": OLD} if stable == "old" else {} if stable is None else {"stable": stable_now}
    status = shown(observed({"stable": before} if before else None), made, now=NOW, settings=SETTINGS)
    assert status.to_wire() == expected


@pytest.mark.parametrize(
    ("given", "before", "available", "reason"),
    [
        ({"is_published": True}, None, FOUND, "Loading"),
        ({"reason": "ServerEnded", "trouble": "it ended"}, None, NOT_READ, "ServerEnded"),
        ({"reason": "ServerEnded", "trouble": "it ended"}, OLD, NOT_READ, "ServerEnded"),
        ({"reason": "ServerEnded", "trouble": "it ended", "ready": 1}, None, FOUND, "ServerEnded"),
        ({"reason": "ServerEnded", "trouble": "it ended", "ready": 2}, None, FOUND, "AllReady"),
        ({"reason": "E", "trouble": "it is gone", "artifact_problem": "A", "is_published": True}, None, condition("ModelAvailable", true=False, reason="A", message="it is gone"), "E"),
        ({"reason": "E", "trouble": "it is gone", "artifact_problem": "A", "ready": 1}, None, FOUND, "E"),
    ],
)  # fmt: skip
def test_servers_that_do_not_come_up_say_why(given: dict[str, Any], before: dict[str, Any] | None, available: dict[str, Any], reason: str) -> None:  # fmt: skip
    status = shown(
        observed({"stable": before} if before else None), serving(**given), now=NOW, settings=SETTINGS
    ).to_wire()
    assert status["conditions"][1] == available
    assert status["conditions"][2]["reason"] == reason


@pytest.mark.parametrize("reason", ["NameConflict", "Refused"])
def test_a_blocker_is_shown_until_it_is_gone(reason: Any) -> None:
    blocker = Blocker(reason=reason, message="it cannot be")
    blocked = shown(
        observed(blocker=blocker), serving(ready=2, trouble="no room"), now=NOW, settings=SETTINGS
    ).to_wire()
    assert blocked["phase"] == "Degraded"
    assert blocked["conditions"][2:] == [
        condition("Ready", true=False, reason="Degraded", message="it cannot be"),
        condition(reason, reason=reason, message="it cannot be"),
        condition("Stalled", reason=reason, message="it cannot be"),
    ]
    free = shown(observed(blocked), serving(ready=2), now=NOW, settings=SETTINGS).to_wire()
    assert [found["type"] for found in free["conditions"]] == ["Accepted", "ModelAvailable", "Ready"]


def test_the_digest_of_the_artifact_is_shown() -> None:
    status = shown(observed(), serving(ready=1, digest="sha256:bb"), now=NOW, settings=SETTINGS)
    assert status.stable is not None
    assert status.stable.digest == "sha256:bb"


@pytest.mark.parametrize(
    ("before", "phase", "conditions"),
    [
        (None, "Pending", [condition("Ready", true=False, reason="NoModel", message="there is none")]),
        ({"phase": "Loading"}, "Pending", [condition("Ready", true=False, reason="NoModel", message="there is none")]),
        ({"phase": "Ready", "stable": OLD}, "Ready", []),
    ],
)
def test_a_deployment_waits_for_its_model_and_serves_the_old_one_meanwhile(
    before: dict[str, Any] | None, phase: str, conditions: list[dict[str, Any]]
) -> None:
    words = {"reason": "JobNotFound", "message": "there is none"}
    for may_come, outlook in ((True, "Reconciling"), (False, "Stalled")):
        status = waiting(observed(before), **words, may_come=may_come, now=NOW)
        absent = condition("ModelAvailable", true=False, **words)
        assert status.to_wire() == (before or {}) | {
            "observedGeneration": 4,
            "phase": phase,
            "conditions": [ACCEPTED, absent, *conditions, condition(outlook, **words)],
        }


@pytest.mark.parametrize(
    ("service", "url"),
    [
        (None, "http://api.team-a.svc"),
        ({"metadata": {}}, "http://api.team-a.svc"),
        ({"metadata": {"annotations": None}}, "http://api.team-a.svc"),
        ({"metadata": {"annotations": {LOCAL_URL: "http://127.0.0.1:8000"}}}, "http://127.0.0.1:8000"),
    ],
)
def test_the_url_is_that_of_the_service(service: dict[str, Any] | None, url: str) -> None:
    present = {("Service", "api"): service} if service else {}
    assert shown(observed(present=present), serving(), now=NOW, settings=SETTINGS).url == url


def test_the_scale_counts_the_pods_of_all_revisions() -> None:
    servers = {
        ("Deployment", f"api-{revision}"): {"status": {"replicas": count}}
        for revision, count in (("old", 2), ("new", 3))
    }
    begun = {("Deployment", "api-next"): {}, ("Service", "api"): {"status": {"loadBalancer": {}}}}
    found = observed(spec={"replicas": 3}, present=servers | begun)
    assert shown(found, serving(), now=NOW, settings=SETTINGS).replicas == 5


def test_of_the_revisions_stable_alone_has_a_failure_of_its_own() -> None:
    status = root_schema(RESOURCES[1])["properties"]["status"]["properties"]
    revisions = {"stable": status["stable"], "canary": status["canary"], "revisions": status["revisions"]["items"]}
    assert [name for name, node in revisions.items() if "failure" in node["properties"]] == ["stable"]


def test_a_failure_stands_once_and_goes_where_no_servers_are_looked_at() -> None:
    failure = ServingFailure(revision="new", failure_class="ImagePull")
    of_stable = ServingFailure(revision="old", failure_class="OutOfMemory")
    made = serving(failure=failure, stable_failure=of_stable)
    both = shown(observed({"stable": OLD}), made, now=NOW, settings=SETTINGS)
    assert both.stable is not None
    assert (both.failure, both.stable.failure) == (failure, of_stable)
    alone = shown(observed({"stable": OLD | {"revision": "new"}}), made, now=NOW, settings=SETTINGS)
    assert alone.stable is not None
    assert (alone.failure, alone.stable.failure) == (failure, None)
    stored = observed(both.to_wire())
    for after in (
        waiting(stored, reason="JobNotFound", message="m", may_come=True, now=NOW),
        refused(stored, reason="SpecInvalid", message="m", now=NOW),
    ):
        assert after.stable is not None
        assert (after.failure, after.stable.failure) == (None, None)
