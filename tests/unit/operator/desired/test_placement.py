"""Where pods run and who they are: each field of the spec reaches the pods that it is for, over the administrator's defaults."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.run_config import run_config
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.desired.fine_tune_job.train_job import train_job
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config, server_deployment
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.pod_defaults import PodDefaults

Fields = dict[str, Any]
METADATA: Fields = {"name": "reviews", "namespace": "team-a", "uid": "11111111-2222-3333-4444-555555555555"}
MINIMAL: Fields = {
    "model": {"uri": "hf://FacebookAI/roberta-base"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
}
SETTINGS = OperatorSettings(default_claim="models")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
GPU = {"key": "nvidia.com/gpu", "operator": "Exists"}
BRIEF = [
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}
    for state in ("not-ready", "unreachable")
]
TERMS = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["h100"]}]}]}
ZONES = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
SELECTED = ZONES | {"labelSelector": {"matchLabels": {"team": "search"}}}
PLACEMENT: list[tuple[str, Any]] = [
    ("priorityClassName", "high"),
    ("schedulerName", "volcano"),
    ("nodeSelector", {"gpu": "h100"}),
    ("affinity", {"nodeAffinity": {REQUIRED: TERMS}, "podAntiAffinity": {REQUIRED: [{"topologyKey": "rack"}]}}),
    ("topologySpreadConstraints", [SELECTED]),
    ("runtimeClassName", "nvidia"),
]
IDENTITY: list[tuple[str, Any]] = [
    ("serviceAccountName", "trainer"),
    ("imagePullSecrets", [{"name": "registry"}]),
    ("imagePullPolicy", "Always"),
    ("labels", {"team": "search"}),
    ("annotations", {"example.com/note": "a"}),
]
DEFAULTS = OperatorSettings(
    default_claim="models",
    image_pull_policy="IfNotPresent",
    pod_defaults=PodDefaults.from_wire(
        {
            "nodeSelector": {"pool": "ml", "gpu": "any"},
            "tolerations": [{"key": "pool", "value": "ml"}, GPU],
            "imagePullSecrets": [{"name": "company"}, {"name": "registry"}],
            "labels": {"cost": "ml", "team": "none"},
            "annotations": {"example.com/note": "none"},
        }
    ),
)


def each_of(fields: list[tuple[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("name", "value"), fields, ids=[name for name, _ in fields])


def a_job(spec: Fields, status: Fields | None = None) -> FineTuneJob:
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": METADATA, "spec": spec}
    return FineTuneJob.from_wire(manifest | ({"status": status} if status else {}))


def stages(spec: Fields, *, status: Fields | None = None, settings: OperatorSettings = SETTINGS) -> Fields:
    """Return the Jobs of a FineTuneJob by stage."""
    job = a_job(spec, status)
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    return {
        "train": train_job(job, attempt=1, storage=storage, settings=settings),
        "prepare": stage_job(job, stage="prepare", storage=storage, settings=settings),
        "export": stage_job(job, stage="export", storage=storage, settings=settings),
    }


def serving(settings: OperatorSettings = SETTINGS, **fields: Any) -> Fields:
    """Return the Deployment of a ModelDeployment's servers."""
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": METADATA,
        "spec": {"model": {"fineTuneJobRef": {"name": "reviews"}}} | fields,
    }
    deployment = ModelDeployment.from_wire(manifest)
    config = server_config(deployment, ArtifactReference(uri="pvc://models/artifact", digest=None))
    return server_deployment(deployment, config, settings=settings)


def pod_of(child: Fields) -> Fields:
    pod: Fields = child["spec"]["template"]["spec"]
    return pod


def found_in(child: Fields, name: str) -> Any:
    """Return the field of a pod, wherever Kubernetes keeps the field."""
    template = child["spec"]["template"]
    places = {
        "imagePullPolicy": template["spec"]["containers"][0],
        "labels": template["metadata"],
        "annotations": template["metadata"],
    }
    return places.get(name, template["spec"]).get(name)


@each_of(PLACEMENT)
def test_scheduling_places_the_training_pods_and_the_servers_and_no_cpu_stage(name: str, value: Any) -> None:
    made = stages(MINIMAL | {"scheduling": {name: value}})
    assert found_in(made["train"], name) == value
    assert found_in(serving(scheduling={name: value}), name) == value
    assert {name: made[name] for name in ("prepare", "export")} == {
        name: stages(MINIMAL)[name] for name in ("prepare", "export")
    }


@each_of(IDENTITY)
def test_what_pods_are_holds_for_every_stage_and_for_servers(name: str, value: Any) -> None:
    for child in (*stages(MINIMAL | {name: value}).values(), serving(**{name: value})):
        found = found_in(child, name)
        assert found == (found | value if name == "labels" else value)


def test_our_labels_stay_beside_those_of_the_user_and_selectors_stay_as_they_were() -> None:
    before, after = serving(), serving(labels={"team": "search"})
    ours = after["spec"]["selector"]["matchLabels"]
    assert after["spec"]["template"]["metadata"]["labels"] == ours | {"team": "search"}
    assert before["spec"]["selector"]["matchLabels"].keys() == ours.keys()
    assert stages(MINIMAL | {"labels": {"team": "a"}})["train"]["metadata"] == stages(MINIMAL)["train"]["metadata"]


def test_no_label_of_others_takes_the_place_of_ours() -> None:
    """Such a label is refused; a stored object may have it all the same."""
    made = stages(MINIMAL | {"labels": {"tuneloop.dev/job": "other"}})["train"]
    assert found_in(made, "labels") == made["metadata"]["labels"]


EMPTY: Fields = {"scheduling": {"nodeSelector": {}, "tolerations": [], "affinity": {}, "topologySpreadConstraints": []},
                 "imagePullSecrets": [], "labels": {}, "annotations": {}}  # fmt: skip


@pytest.mark.parametrize("empty", [{"scheduling": {}}, EMPTY], ids=["no field", "empty fields"])
def test_fields_that_say_nothing_change_no_pod_and_no_revision(empty: Fields) -> None:
    assert stages(MINIMAL | empty) == stages(MINIMAL)
    assert serving(**empty) == serving()


@each_of([(name, {"scheduling": {name: value}}) for name, value in [*PLACEMENT, ("tolerations", [GPU])]])
def test_placement_is_no_part_of_a_run(name: str, value: Fields) -> None:
    def runs(spec: Fields) -> list[Fields]:
        job = a_job(spec)
        storage = storage_of(job.spec, default_claim="models")
        assert storage is not None
        shared: Fields = {"storage": storage, "settings": SETTINGS}
        train = run_config(job, stage="train", attempt=1, **shared)
        return [train.to_wire(), run_config(job, stage="prepare", attempt=0, **shared).to_wire()]

    assert runs(MINIMAL | value) == runs(MINIMAL), name


@each_of([*IDENTITY, *((name, {"scheduling": {name: value}}) for name, value in [*PLACEMENT, ("tolerations", [GPU])])])
def test_what_changes_the_pods_of_a_server_makes_another_revision(name: str, value: Any) -> None:
    fields = value if isinstance(value, dict) and "scheduling" in value else {name: value}
    assert serving(**fields)["metadata"]["name"] != serving()["metadata"]["name"]


def test_defaults_of_the_administrator_make_no_other_revision() -> None:
    assert serving(DEFAULTS)["metadata"]["name"] == serving()["metadata"]["name"]


TOLERATIONS: list[Any] = [
    pytest.param([GPU], [*BRIEF, GPU], id="beside ours"),
    pytest.param([{"operator": "Exists"}], [*BRIEF, {"operator": "Exists"}], id="every taint"),
    pytest.param(
        [BRIEF[0] | {"tolerationSeconds": 300}],
        [BRIEF[1], BRIEF[0] | {"tolerationSeconds": 300}],
        id="in the place of ours",
    ),
    pytest.param(
        [{"key": BRIEF[0]["key"], "operator": "Exists"}],
        [BRIEF[1], {"key": BRIEF[0]["key"], "operator": "Exists"}],
        id="for every effect",
    ),
    pytest.param(
        [{"key": BRIEF[0]["key"], "effect": "NoSchedule"}],
        [*BRIEF, {"key": BRIEF[0]["key"], "effect": "NoSchedule"}],
        id="another effect",
    ),
]


@pytest.mark.parametrize(("given", "written"), TOLERATIONS)
def test_tolerations_stand_beside_those_for_lost_nodes(given: list[Fields], written: list[Fields]) -> None:
    assert pod_of(stages(MINIMAL | {"scheduling": {"tolerations": given}})["train"])["tolerations"] == written
    assert pod_of(serving(scheduling={"tolerations": given}))["tolerations"] == given


def test_a_bad_node_is_avoided_in_each_term_of_the_user() -> None:
    terms = {"nodeSelectorTerms": [*TERMS["nodeSelectorTerms"], {"matchFields": [{"key": "metadata.name"}]}]}
    preferred = [{"weight": 1, "preference": {"matchExpressions": [{"key": "fast", "operator": "Exists"}]}}]
    nodes = {REQUIRED: terms, "preferredDuringSchedulingIgnoredDuringExecution": preferred}
    affinity = {"nodeAffinity": nodes, "podAffinity": {REQUIRED: [{"topologyKey": "rack"}]}}
    given = copy.deepcopy(affinity)
    status = {"avoidedNodes": [{"name": "node-1", "reason": "Hang"}, {"name": "node-7", "reason": "Hang"}]}
    found = pod_of(stages(MINIMAL | {"scheduling": {"affinity": affinity}}, status=status)["train"])["affinity"]
    bad = [{"key": "metadata.name", "operator": "NotIn", "values": [name]} for name in ("node-1", "node-7")]
    assert found["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] == [
        TERMS["nodeSelectorTerms"][0] | {"matchFields": bad},
        {"matchFields": [{"key": "metadata.name"}, *bad]},
    ]
    assert found["podAffinity"] == affinity["podAffinity"]
    assert found["nodeAffinity"].keys() == nodes.keys()
    assert affinity == given


def test_a_spread_without_a_selector_counts_the_pods_of_the_same_set() -> None:
    scheduling = {"topologySpreadConstraints": [ZONES]}
    for child in (stages(MINIMAL | {"scheduling": scheduling})["train"], serving(scheduling=scheduling)):
        (spread,) = pod_of(child)["topologySpreadConstraints"]
        labels = child["spec"]["template"]["metadata"]["labels"]
        assert spread == ZONES | {"labelSelector": {"matchLabels": labels}}


def test_defaults_reach_all_pods_below_what_the_object_says() -> None:
    own: Fields = dict(IDENTITY) | {"scheduling": {"nodeSelector": {"gpu": "h100"}, "tolerations": [GPU]}}
    made = stages(MINIMAL | own, settings=DEFAULTS)
    pool = {"key": "pool", "value": "ml"}
    for child in (*made.values(), serving(DEFAULTS, **own)):
        assert pod_of(child)["imagePullSecrets"] == [{"name": "company"}, {"name": "registry"}]
        assert found_in(child, "labels").items() >= {"cost": "ml", "team": "search"}.items()
        assert found_in(child, "annotations") == {"example.com/note": "a"}
        assert found_in(child, "imagePullPolicy") == "Always"
    for child in (made["train"], serving(DEFAULTS, **own)):
        assert pod_of(child)["nodeSelector"] == {"pool": "ml", "gpu": "h100"}
        assert pod_of(child)["tolerations"][-2:] == [pool, GPU]
    for stage in ("prepare", "export"):
        assert pod_of(made[stage])["nodeSelector"] == {"pool": "ml", "gpu": "any"}
        assert pod_of(made[stage])["tolerations"] == [pool, GPU]
    assert found_in(stages(MINIMAL, settings=DEFAULTS)["prepare"], "annotations") == {"example.com/note": "none"}
