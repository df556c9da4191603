"""What is decided for a ModelDeployment, one observation at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_operator.decide.decision import Decision, Deletion, Event, LiveChildren
from tuneloop_operator.decide.model_deployment.deployment import decide
from tuneloop_operator.desired.model_deployment.serving import (
    ArtifactReference,
    server_config,
    server_config_map,
    server_deployment,
)
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import Blocker, ObservedDeployment

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = "2026-01-01T12:00:00Z"
SETTINGS = OperatorSettings(server_image="server:1")
METADATA: dict[str, Any] = {"name": "api", "namespace": "team-a", "uid": "u", "generation": 3}
REFERENCE: dict[str, Any] = {"fineTuneJobRef": {"name": "reviews"}}


def observed(status: dict[str, Any] | None = None, *, spec: dict[str, Any] | None = None, **fields: Any) -> ObservedDeployment:  # fmt: skip
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": METADATA | fields.pop("metadata", {}),
        "spec": {"model": {"uri": "pvc://models/new"}} | (spec or {}),
    } | ({"status": status} if status else {})
    given: dict[str, Any] = {"manifest": manifest, "present": {}} | fields
    return ObservedDeployment(deployment=ModelDeployment.from_wire(manifest), **given)


def decided(observation: ObservedDeployment) -> Decision:
    return decide(observation, now=NOW, settings=SETTINGS)


def stored(*manifests: dict[str, Any], **deployment_status: Any) -> dict[Any, dict[str, Any]]:
    """Return these children as the API server keeps them."""
    made = {}
    for manifest in manifests:
        status = {"status": deployment_status} if manifest["kind"] == "Deployment" else {}
        metadata = manifest["metadata"] | {"uid": f"u-{manifest['kind']}-{manifest['metadata']['name']}"}
        made[manifest["kind"], metadata["name"]] = manifest | status | {"metadata": metadata}
    return made


def children(observation: ObservedDeployment) -> tuple[dict[str, Any], ...]:
    first = decided(observation)
    return (*first.apply, *first.create)


def condition(decision: Decision, type_: str) -> dict[str, Any]:
    assert decision.status is not None
    return next(found for found in decision.status["conditions"] if found["type"] == type_)


def test_there_is_no_network_to_close_on_one_machine() -> None:
    decision = decide(observed(), now=NOW, settings=SETTINGS.model_copy(update={"local": True}))
    assert [manifest["kind"] for manifest in decision.apply] == ["Deployment", "Service", "Service"]


def test_the_first_decision_makes_everything() -> None:
    decision = decided(observed())
    # the pods are closed before they are there
    assert [manifest["kind"] for manifest in decision.apply] == ["NetworkPolicy", "Deployment", "Service", "Service"]
    assert [manifest["kind"] for manifest in decision.create] == ["ConfigMap"]
    assert (decision.delete, decision.needs) == ((), None)
    assert decision.status is not None
    assert decision.status["phase"] == "Loading"


def ports_of(decision: Decision) -> tuple[dict[str, int], set[str], int | None]:
    """Return the ports of the server's container, the names of those that are probed, and `metricsPort` of its configuration."""
    (servers,) = [manifest for manifest in decision.apply if manifest["kind"] == "Deployment"]
    (container,) = servers["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probed = {container[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "liveness", "readiness")}
    (config_map,) = decision.create
    return ports, probed, json.loads(config_map["data"]["server.json"]).get("metricsPort")


def test_probes_and_metrics_have_a_port_to_which_no_service_leads() -> None:
    decision = decided(observed())
    assert ports_of(decision) == ({"http": 8080, "metrics": 8081}, {"metrics"}, 8081)
    services = [manifest for manifest in decision.apply if manifest["kind"] == "Service"]
    assert [port["targetPort"] for service in services for port in service["spec"]["ports"]] == ["http", "http"]


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        pytest.param({}, {"local": True}, id="on one machine"),
        pytest.param({"image": "ours/server:1"}, {}, id="an image of somebody, of whatever release"),
    ],
)
def test_servers_have_one_port_where_one_address_is_opened_or_their_release_is_unknown(
    spec: dict[str, Any], settings: dict[str, Any]
) -> None:
    decision = decide(observed(spec=spec), now=NOW, settings=SETTINGS.model_copy(update=settings))
    assert ports_of(decision) == ({"http": 8080}, {"http"}, None)


def first_release_children() -> dict[Any, dict[str, Any]]:
    """Return the configuration and the Deployment that release 0.1.0 made of the same spec."""
    deployment = observed().deployment
    config = server_config(deployment, ArtifactReference(uri="pvc://models/new", digest=None))
    made = server_config_map(deployment, config), server_deployment(deployment, config, settings=SETTINGS)
    return stored(*made, readyReplicas=1)


@pytest.mark.parametrize("kept", [("ConfigMap", "Deployment"), ("ConfigMap",), ("Deployment",)], ids=str)
def test_an_upgrade_of_the_operator_replaces_no_server(kept: tuple[str, ...]) -> None:
    first = first_release_children()
    present = {key: manifest for key, manifest in first.items() if key[0] in kept}
    decision = decided(observed(present=present))
    written = {(made["kind"], made["metadata"]["name"]): made for made in (*decision.apply, *decision.create)}
    restored = {key: manifest["spec"] for key, manifest in written.items() if key[0] == "Deployment"}
    assert restored == {key: first[key]["spec"] for key in first.keys() - present.keys() if key[0] == "Deployment"}
    names = {name for kind, name in written if kind in {"ConfigMap", "Deployment"}}
    assert names <= {name for _, name in first}


def test_servers_that_an_earlier_release_did_not_spread_stay_where_they_are() -> None:
    config = server_config(observed().deployment, ArtifactReference(uri="pvc://models/new", digest=None))
    servers = server_deployment(observed().deployment, config, settings=SETTINGS, is_spread=False)
    decision = decided(observed(present=stored(servers, readyReplicas=1)))
    assert "Deployment" not in {manifest["kind"] for manifest in decision.apply}


def test_several_servers_have_a_budget_in_a_cluster_and_none_on_one_machine() -> None:
    for local, wanted in ((False, ["PodDisruptionBudget"]), (True, [])):
        settings = SETTINGS.model_copy(update={"local": local})
        decision = decide(observed(spec={"replicas": 2}), now=NOW, settings=settings)
        assert [made["kind"] for made in decision.apply if made["kind"] == "PodDisruptionBudget"] == wanted


def test_the_next_revision_of_a_deployment_that_0_1_0_served_has_two_ports() -> None:
    decision = decided(observed(spec={"batching": {"maxBatchSize": 1}}, present=first_release_children()))
    assert ports_of(decision)[2] == 8081


def test_what_is_there_is_not_written_again() -> None:
    present = stored(*children(observed()), readyReplicas=1)
    ready = decided(observed(present=present))
    assert (ready.apply, ready.create, ready.delete) == ((), (), ())
    assert ready.status is not None
    second = decided(observed(ready.status, present=present))
    assert second == Decision()


def test_one_replica_is_meant_where_none_is_given() -> None:
    assert (decided(observed()).status or {})["ready"] == "0/1"
    assert (decided(observed(spec={"replicas": 3})).status or {})["ready"] == "0/3"
    assert (decided(observed(spec={"replicas": 0})).status or {})["phase"] == "Ready"


def test_an_old_revision_is_deleted_on_live_reads_once_the_new_one_answers() -> None:
    old = observed(spec={"model": {"uri": "pvc://models/old"}})
    present = stored(*children(old)) | stored(*children(observed()), readyReplicas=1)
    answers = decided(observed(present=present)).status
    switched = present | stored(*decided(observed(answers, present=present)).apply)
    waiting = decided(observed(answers, present=switched))
    assert waiting == Decision(needs=LiveChildren())
    decision = decided(observed(answers, present=switched, live=True))
    names = sorted(key for key in stored(*children(old)) if key[1] not in {"api", "api-servers"})
    assert decision.delete == tuple(Deletion(kind=kind, name=name, uid=f"u-{kind}-{name}") for kind, name in names)
    assert [deletion.kind for deletion in decision.delete] == ["ConfigMap", "Deployment", "Service"]


def test_an_old_revision_stays_while_the_new_one_does_not_answer() -> None:
    old = observed(spec={"model": {"uri": "pvc://models/old"}})
    served = decided(observed(spec={"model": {"uri": "pvc://models/old"}}, present=stored(*children(old), readyReplicas=1)))  # fmt: skip
    present = stored(*children(old), readyReplicas=1) | {
        key: manifest for key, manifest in stored(*children(observed())).items() if key[1] != "api"
    }
    decision = decided(observed(served.status, present=present, live=True))
    assert (decision.delete, decision.apply) == ((), ())
    assert (decision.status or {})["phase"] == "Progressing"


def test_a_deployment_that_is_being_deleted_is_left_alone() -> None:
    assert decided(observed(metadata={"deletionTimestamp": STAMP})) == Decision()


def test_a_refused_deployment_writes_its_condition_and_an_event_alone() -> None:
    refused = {"spec": {"model": {"uri": "hf://a/b"}}}
    decision = decided(observed(**refused))
    assert decision.status is not None
    accepted = condition(decision, "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["lastTransitionTime"]) == ("False", "NotAnArtifact", STAMP)
    assert accepted["message"].startswith("spec.model.uri: found hf://a/b; ")
    assert (decision.status["observedGeneration"], decision.status["phase"]) == (3, "Pending")
    event = Event(type="Warning", reason="NotAnArtifact", message=accepted["message"])
    assert replace(decision, status=None) == Decision(events=(event,))
    assert decided(observed(decision.status, **refused)) == Decision()
    assert (decided(observed({"phase": "Ready"}, **refused)).status or {})["phase"] == "Ready"


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (None, "JobNotFinished", "FineTuneJob reviews is Pending; its model is served once it has succeeded"),
        ({"attempt": 1}, "JobNotFinished", "FineTuneJob reviews is Pending; its model is served once it has succeeded"),
        ({"phase": "Running"}, "JobNotFinished", "FineTuneJob reviews is Running; its model is served once it has succeeded"),
        ({"phase": "Failed", "conditions": [{"type": "Failed", "status": "True", "reason": "Data", "lastTransitionTime": STAMP}]}, "JobFailed", "FineTuneJob reviews has failed; it published nothing"),
        ({"phase": "Exporting", "artifact": {"uri": "pvc://models/a", "digest": "sha256:aa"}}, "JobNotFinished", "FineTuneJob reviews is Exporting; its model is served once it has succeeded"),
        ({"phase": "Succeeded", "conditions": [{"type": "Complete", "status": "True", "reason": "DryRun", "lastTransitionTime": STAMP}]}, "JobNotFinished", "FineTuneJob reviews is Succeeded; its model is served once it has succeeded"),
    ],
)  # fmt: skip
def test_a_deployment_says_what_its_job_lacks(status: dict[str, Any] | None, reason: str, message: str) -> None:
    decision = decided(observed(spec={"model": REFERENCE}, source=fine_tune_job(status)))
    available = condition(decision, "ModelAvailable")
    assert (available["status"], available["reason"], available["message"]) == ("False", reason, message)
    assert (decision.apply, decision.create) == ((), ())


def fine_tune_job(status: dict[str, Any] | None) -> FineTuneJob:
    spec = {
        "model": {"uri": "hf://a/b"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/x.csv"}]},
    }
    metadata = {"name": "reviews", "namespace": "team-a", "uid": "u-reviews"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata, "spec": spec}
    return FineTuneJob.from_wire(manifest | ({"status": status} if status else {}))


def test_a_job_that_is_not_there_or_cannot_be_read_is_named() -> None:
    gone = condition(decided(observed(spec={"model": REFERENCE})), "ModelAvailable")
    assert (gone["reason"], gone["message"]) == ("JobNotFound", "there is no FineTuneJob reviews in this namespace")
    unread = observed(spec={"model": REFERENCE}, source_problem="spec.x: found 1")
    unreadable = condition(decided(unread), "ModelAvailable")
    message = "FineTuneJob reviews cannot be read: spec.x: found 1"
    assert (unreadable["reason"], unreadable["message"]) == ("JobNotReadable", message)


def test_the_artifact_of_a_finished_job_is_served_by_its_digest() -> None:
    complete = [{"type": "Complete", "status": "True", "reason": "Published", "lastTransitionTime": STAMP}]
    status = {"conditions": complete, "artifact": {"uri": "pvc://models/a", "digest": "sha256:aa"}}
    decision = decided(observed(spec={"model": REFERENCE}, source=fine_tune_job(status)))
    assert condition(decision, "ModelAvailable")["message"] == "pvc://models/a"
    (config_map,) = decision.create
    assert '"sha256:aa"' in config_map["data"]["server.json"]
    given = decided(observed(spec={"model": {"uri": "pvc://models/a", "digest": f"sha256:{'c' * 64}"}}))
    assert f"sha256:{'c' * 64}" in given.create[0]["data"]["server.json"]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}], "FailedCreate: quota"),
        ([{"type": "ReplicaFailure", "status": "False", "reason": "Fine", "message": "fine"}], None),
        ([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}], "ProgressDeadlineExceeded: late"),
        ([{"type": "Progressing", "status": "True", "reason": "Fine", "message": "fine"}], None),
        ([{"type": "Progressing", "status": "False"}], "Progressing: "),
        ([{"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}], None),
        (None, None),
    ],
)  # fmt: skip
def test_the_trouble_of_the_servers_is_shown(conditions: Any, message: str | None) -> None:
    present = stored(*children(observed()), conditions=conditions)
    ready = condition(decided(observed(present=present)), "Ready")
    revision = next(name for kind, name in present if kind == "Deployment").removeprefix("api-")
    assert ready["message"] == (message or f"0 of 1 servers of revision {revision} answer")


def test_what_could_not_be_carried_out_is_reported_and_nothing_else_is_done() -> None:
    blocker = Blocker(reason="Refused", message="exceeded quota")
    decision = decided(observed(blocker=blocker))
    assert condition(decision, "Refused")["message"] == "exceeded quota"
    assert replace(decision, status=None) == Decision()
