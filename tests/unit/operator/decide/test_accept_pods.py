"""What the CRD takes but no pod can have is refused, with field, value, what is allowed, and an example."""

from __future__ import annotations

from typing import Any

import pytest
from refusal_sentences import SETTINGS, refusals

from tuneloop_api.v1alpha1 import FineTuneJobSpec
from tuneloop_operator.decide.accept_jobs import job_refusals

REQUIRED, PREFERRED = (f"{kind}DuringSchedulingIgnoredDuringExecution" for kind in ("required", "preferred"))
LONG = f"{'a' * 253}/{'b' * 63}"


@pytest.mark.parametrize(
    ("field", "key", "says"),
    [
        ("labels", "a b", "must be [DOMAIN/]NAME"),
        ("labels", "a\n", "must be [DOMAIN/]NAME"),
        ("labels", "", "must be [DOMAIN/]NAME"),
        ("labels", f"a{LONG}", "must be [DOMAIN/]NAME"),
        ("labels", f"{LONG}b", "must be [DOMAIN/]NAME"),
        ("annotations", "a/b/c", "must be [DOMAIN/]NAME"),
        ("labels", "tuneloop.dev/job", "any key but tuneloop.dev/… is allowed: the operator finds its pods"),
        ("labels", "x.tuneloop.dev/job", "any key but tuneloop.dev/… is allowed"),
        ("annotations", "tuneloop.dev/job", "any key but tuneloop.dev/… is allowed"),
        ("labels", "batch.kubernetes.io/job-name", "the Job controller sets these keys"),
        ("annotations", "batch.kubernetes.io/job-completion-index", "the Job controller sets these keys"),
        ("labels", "job-name", "the Job controller sets these keys"),
        ("labels", "controller-uid", "the Job controller sets these keys"),
        ("labels", "pod-template-hash", "the Deployment controller sets this key"),
        ("labels", "app.kubernetes.io/managed-by", "any key but app.kubernetes.io/managed-by is allowed: selectors"),
        ("labels", "app.kubernetes.io/name", "selectors"),
        ("labels", "app.kubernetes.io/instance", "selectors"),
        ("labels", "app.kubernetes.io/component", "selectors"),
        ("labels", "kueue.x-k8s.io/queue-name", "the queue of a gang is scheduling.queueName"),
    ],
)
def test_a_key_that_pods_cannot_have_is_refused(field: str, key: str, says: str) -> None:
    (sentence,) = refusals(**{field: {key: "x"}})
    assert sentence.startswith(f"spec.{field}: found {ascii(key)[:100]}; ")
    assert says in sentence
    assert "; for example " in sentence


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("labels", "team"),
        ("labels", LONG),
        ("labels", "app.kubernetes.io/part-of"),
        ("labels", "nottuneloop.dev/a"),
        ("annotations", "kueue.x-k8s.io/podset-required-topology"),
        ("annotations", "app.kubernetes.io/name"),
        ("annotations", "cluster-autoscaler.kubernetes.io/safe-to-evict"),
    ],
)
def test_other_keys_are_taken(field: str, key: str) -> None:
    assert refusals(**{field: {key: "x"}}) == []


def test_a_node_selector_may_name_any_label_that_a_node_can_have() -> None:
    assert refusals(scheduling={"nodeSelector": {"batch.kubernetes.io/a": "", "tuneloop.dev/pool": "a"}}) == []
    (sentence,) = refusals(scheduling={"nodeSelector": {"gpu type": "a"}})
    assert sentence.startswith("spec.scheduling.nodeSelector: found 'gpu type'; must be [DOMAIN/]NAME")


def node(*expressions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [*expressions]} | fields]}}}


EXPRESSION = f"nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0]"
WRONG_AFFINITY: list[tuple[dict[str, Any], str, str]] = [
    ({"nodeAffinity": {"required": {}}}, "nodeAffinity.required: found {}", "Kubernetes knows no such field here"),
    ({"nodeAffinity": {REQUIRED: {}}}, f"nodeAffinity.{REQUIRED}.nodeSelectorTerms: found nothing", "is required"),
    ({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}, "nodeSelectorTerms: found []", "at least 1 item"),
    ({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{}]}}}, "nodeSelectorTerms[0]: found {}", "fits no node"),
    (node({"key": "a b", "operator": "Exists"}), f"{EXPRESSION}.key: found 'a b'", "must be [DOMAIN/]NAME"),
    (node({"key": "a", "operator": "Is"}), f"{EXPRESSION}.operator: found 'Is'", "'Exists'"),
    (node({"key": "a", "operator": "In"}), EXPRESSION, "operator: In needs values; for example values: [a, b]"),
    (node({"key": "a", "operator": "NotIn", "values": []}), EXPRESSION, "operator: NotIn needs values"),
    (node({"key": "a", "operator": "Exists", "values": ["b"]}), EXPRESSION, "operator: Exists takes no values"),
    (node({"key": "a", "operator": "DoesNotExist", "values": ["b"]}), EXPRESSION, "takes no values"),
    (node({"key": "a", "operator": "Gt", "values": ["b"]}), EXPRESSION, "operator: Gt needs one whole number"),
    (node({"key": "a", "operator": "Lt", "values": ["1", "2"]}), EXPRESSION, "operator: Lt needs one whole number"),
    ({"nodeAffinity": {PREFERRED: [{"weight": 0, "preference": {}}]}}, "[0].weight: found 0", "greater than or equal to 1"),
    ({"podAffinity": {REQUIRED: [{}]}}, f"podAffinity.{REQUIRED}[0].topologyKey: found nothing", "is required"),
    ({"podAntiAffinity": {REQUIRED: {}}}, f"podAntiAffinity.{REQUIRED}: found {{}}", "list"),
    ({"podAffinity": {PREFERRED: [{"weight": 101, "podAffinityTerm": {"topologyKey": "a"}}]}}, "[0].weight: found 101", "100"),
    ({"podAffinity": {REQUIRED: [{"topologyKey": "a", "labelSelector": {"matchLabels": {"b": "c d"}}}]}}, "matchLabels.b: found 'c d'", "must be empty"),
    ({"podAffinity": {REQUIRED: [{"topologyKey": "a", "labelSelector": {"matchLabels": {"b c": "d"}}}]}}, "matchLabels.b c: found 'b c'", "must be [DOMAIN/]NAME"),
]  # fmt: skip


@pytest.mark.parametrize(("affinity", "where", "says"), WRONG_AFFINITY, ids=lambda value: str(value)[:60])
def test_a_mistake_in_an_affinity_is_named(affinity: dict[str, Any], where: str, says: str) -> None:
    sentence = refusals(scheduling={"affinity": affinity})[0]
    assert sentence.startswith("spec.scheduling.affinity.")
    assert where in sentence
    assert says in sentence
    assert "; for example " in sentence


WRONG_SPREAD: list[tuple[dict[str, Any], str, str]] = [
    ({"maxSkew": 0}, ".maxSkew: found 0", "greater than or equal to 1"),
    ({"topologyKey": "a b"}, ".topologyKey: found 'a b'", "must be [DOMAIN/]NAME"),
    ({"whenUnsatisfiable": "Never"}, ".whenUnsatisfiable: found 'Never'", "'DoNotSchedule'"),
    ({"minDomains": 2}, ": found ", "minDomains applies only to whenUnsatisfiable: DoNotSchedule"),
    ({"skew": 1}, ".skew: found 1", "Kubernetes knows no such field here"),
]


@pytest.mark.parametrize(("change", "where", "says"), WRONG_SPREAD, ids=lambda value: str(value)[:40])
def test_a_mistake_in_a_spread_constraint_is_named(change: dict[str, Any], where: str, says: str) -> None:
    good = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    (sentence,) = refusals(scheduling={"topologySpreadConstraints": [good, good | change]})
    assert sentence.startswith(f"spec.scheduling.topologySpreadConstraints[1]{where}")
    assert says in sentence


def test_objects_of_kubernetes_that_are_right_are_taken() -> None:
    selector = {
        "matchLabels": {"a/b": "c"},
        "matchExpressions": [{"key": "d", "operator": "NotIn", "values": ["e", ""]}],
    }
    term = {"topologyKey": "rack", "labelSelector": selector, "namespaces": ["team-a"], "namespaceSelector": {}}
    nodes = node({"key": "gpus", "operator": "Gt", "values": ["-4"]}, matchFields=[{"key": "metadata.name", "operator": "In", "values": ["n"]}])  # fmt: skip
    nodes["nodeAffinity"][PREFERRED] = [{"weight": 100, "preference": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}}]  # fmt: skip
    pods = {REQUIRED: [term], PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}
    spread = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2, "labelSelector": selector,
              "matchLabelKeys": ["pod-template-hash"], "nodeAffinityPolicy": "Honor", "nodeTaintsPolicy": "Ignore"}  # fmt: skip
    named = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
    nodes["nodeAffinity"][REQUIRED]["nodeSelectorTerms"].append(named)
    affinity = nodes | {"podAffinity": pods, "podAntiAffinity": pods}
    assert refusals(scheduling={"affinity": affinity, "topologySpreadConstraints": [spread]}) == []


OURS = (
    "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT NODE_RANK HOME POD_NAME POD_UID PYTHONPATH PYTHONHOME LD_PRELOAD LD_LIBRARY_PATH "
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD HF_HUB_OFFLINE TUNELOOP_ TUNELOOP_ANYTHING CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES DS_ACCELERATOR JOB_COMPLETION_INDEX "
    "PATH LD_AUDIT LD_ PYTHONSTARTUP PYTHONUSERBASE PYTHONINSPECT TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES"
)  # fmt: skip


@pytest.mark.parametrize("name", OURS.split())
def test_a_variable_of_ours_is_refused(name: str) -> None:
    (sentence,) = refusals(env=[{"name": "A", "value": "b"}, {"name": name, "value": "secret"}])
    assert sentence.startswith(f"spec.env[1].name: found '{name}'; any other name is allowed: ")
    assert sentence.endswith("; for example WANDB_API_KEY")
    assert "secret" not in sentence


@pytest.mark.parametrize(
    "name", ["HTTPS_PROXY", "HF_TOKEN", "NCCL_DEBUG", "GLOO_SOCKET_IFNAME", "home", "RANKS", "tuneloop_a", "OMP_NUM_THREADS", "PYTHONUNBUFFERED", "LDAP_URL", "HF_HOME"]
)  # fmt: skip
def test_other_variables_are_taken(name: str) -> None:
    assert refusals(env=[{"name": name, "value": ""}]) == []


def test_a_variable_that_stands_twice_is_refused_where_it_stands_again() -> None:
    names = ["A", "B", "A", "A"]
    found = refusals(env=[{"name": name, "value": str(number)} for number, name in enumerate(names)])
    assert [sentence.partition(";")[0] for sentence in found] == [
        f"spec.env[{number}].name: found 'A'" for number in (2, 3)
    ]
    assert all("env[0] has this name, too" in sentence for sentence in found)


def test_two_tokens_of_the_hub_are_refused() -> None:
    spec = {"model": {"uri": "hf://a/b", "secretRef": {"name": "hub"}}, "task": "text-classification", "data": {"train": [{"uri": "pvc://c/x"}]},
            "env": [{"name": "A", "value": "b"}, {"name": "HF_TOKEN", "secretKeyRef": {"name": "c", "key": "d"}}]}  # fmt: skip
    (refusal,) = job_refusals(FineTuneJobSpec.from_wire(spec), SETTINGS)
    assert str(refusal).startswith("spec.env[1].name: found 'HF_TOKEN'; model.secretRef gives prepare this variable")
    assert job_refusals(FineTuneJobSpec.from_wire(spec | {"env": spec["env"][:1]}), SETTINGS) == ()
