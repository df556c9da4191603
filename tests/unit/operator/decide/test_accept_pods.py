"""What the CRD takes but no pod can have is refused, with field, value, what is allowed, and an example."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import all_pods, container_of

from tuneloop_api.v1alpha1 import FineTuneJobSpec, ModelDeploymentSpec
from tuneloop_operator.decide.accept import deployment_refusals, job_refusals
from tuneloop_operator.settings.operator import OperatorSettings

SETTINGS = OperatorSettings(default_claim="models")
REQUIRED, PREFERRED = (f"{kind}DuringSchedulingIgnoredDuringExecution" for kind in ("required", "preferred"))
LONG = f"{'a' * 253}/{'b' * 63}"


def our_mounts() -> list[dict[str, Any]]:
    """Return the mounts of all pods of an object without volumes of its own."""
    return [mount for pod in all_pods().values() for mount in container_of(pod)["volumeMounts"]]


def refusals(**fields: Any) -> list[str]:
    """Return the sentences for a job, which are those for a deployment too."""
    job = {"model": {"uri": "hf://a/b"}, "task": "text-classification", "data": {"train": [{"uri": "pvc://c/x"}]}}
    found = [str(refusal) for refusal in job_refusals(FineTuneJobSpec.from_wire(job | fields), SETTINGS)]
    served = ModelDeploymentSpec.from_wire({"model": {"uri": "pvc://c/x"}} | fields)
    assert [str(refusal) for refusal in deployment_refusals(served, SETTINGS)] == found
    return found


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
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD HF_HUB_OFFLINE TUNELOOP_ TUNELOOP_ANYTHING CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES DS_ACCELERATOR JOB_COMPLETION_INDEX"
)  # fmt: skip


@pytest.mark.parametrize("name", OURS.split())
def test_a_variable_of_ours_is_refused(name: str) -> None:
    (sentence,) = refusals(env=[{"name": "A", "value": "b"}, {"name": name, "value": "secret"}])
    assert sentence.startswith(f"spec.env[1].name: found '{name}'; any other name is allowed: ")
    assert sentence.endswith("; for example WANDB_API_KEY")
    assert "secret" not in sentence


@pytest.mark.parametrize(
    "name", ["HTTPS_PROXY", "HF_TOKEN", "NCCL_DEBUG", "GLOO_SOCKET_IFNAME", "home", "RANKS", "tuneloop_a", "OMP_NUM_THREADS"]
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


SOURCE: dict[str, Any] = {"secret": {"secretName": "a"}}
OURS_AT = ["/etc/tuneloop", "/tuneloop", "/tmp", "/home/tuneloop", "/dev", "/proc", "/sys", "/var/run/secrets/tuneloop", "/var/run/secrets/kubernetes.io", "/run/secrets/tuneloop", "/run/secrets/kubernetes.io", "/usr", "/opt/venv", "/bin", "/sbin", "/lib", "/lib64"]  # fmt: skip
ABOVE = {"/etc", "/home", "/var", "/var/run", "/var/run/secrets", "/run", "/run/secrets", "/opt"}


def mounted(path: str, **fields: Any) -> dict[str, Any]:
    return {"name": "a", "mountPath": path} | (fields or SOURCE)


@pytest.mark.parametrize(
    "path", [*OURS_AT, *(f"{path}/x" for path in OURS_AT), "/dev/shm", "/tuneloop/claims/models", *ABOVE]
)
def test_no_volume_meets_a_path_of_ours_or_of_the_system(path: str) -> None:
    (sentence,) = refusals(volumes=[mounted(path)])
    assert sentence.startswith(
        f"spec.volumes[0].mountPath: found '{path}'; any path is allowed that is neither in nor above /"
    )
    assert sentence.endswith("; for example /etc/trackers")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/trackers",
        "/tuneloop-data",
        "/tmpfs",
        "/home/other",
        "/var/lib/a",
        "/opt/a",
        "/data",
        "/var/run/secrets/eks.amazonaws.com",
    ],
)
def test_other_paths_are_free(path: str) -> None:
    assert refusals(volumes=[mounted(path)]) == []


def test_the_paths_of_all_our_mounts_are_refused() -> None:
    """A mount that the operator adds needs its path in the list."""
    for mount in our_mounts():
        assert len(refusals(volumes=[mounted(mount["mountPath"])])) == 1, mount
        assert len(refusals(volumes=[mounted("/a") | {"name": mount["name"]}])) == 1, mount


@pytest.mark.parametrize("name", ["config", "tmp", "home", "token", "shm", "claim-0", "claim-x", "tuneloop-ca"])
def test_no_volume_has_a_name_of_ours(name: str) -> None:
    (sentence,) = refusals(volumes=[mounted("/a") | {"name": name}])
    assert sentence.startswith(
        f"spec.volumes[0].name: found '{name}'; any name but config, home, shm, tmp, token, claim-…, tuneloop-… is allowed"
    )


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"name": "a", "mountPath": "/b"}, ".name: found 'a'; each volume has a name of its own; volumes[0] has this name, too"),
        ({"name": "b", "mountPath": "/a"}, ".mountPath: found '/a'; no volume lies in another; volumes[0] is mounted at /a"),
        ({"name": "b", "mountPath": "/a/b"}, ".mountPath: found '/a/b'; no volume lies in another; volumes[0] is mounted at /a"),
    ],
)  # fmt: skip
def test_a_volume_that_meets_an_earlier_one_is_refused(second: dict[str, Any], says: str) -> None:
    (sentence,) = refusals(volumes=[mounted("/a"), second | SOURCE])
    assert sentence.startswith(f"spec.volumes[1]{says}")
    assert refusals(volumes=[mounted("/a"), {"name": "b", "mountPath": "/ab"} | SOURCE]) == []


WRONG_SOURCES: list[tuple[dict[str, Any], str, str]] = [
    ({"secret": {}}, "secret.secretName: found nothing", "the field is required; for example secret: {secretName: trackers}"),
    ({"secret": {"name": "a", "secretName": "a"}}, "secret.name: found 'a'", "Kubernetes knows no such field here"),
    ({"secret": {"secretName": "kube-system/a"}}, "secret.secretName: found 'kube-system/a'", "must be the name of an object"),
    ({"secret": {"secretName": "a", "items": [{"key": "k", "path": "../p"}]}}, "secret.items[0].path: found '../p'", "must be a path inside"),
    ({"secret": {"secretName": "a", "defaultMode": 512}}, "secret.defaultMode: found 512", "less than or equal to 511"),
    ({"configMap": {"secretName": "a"}}, "configMap.name: found nothing", "the field is required"),
    ({"persistentVolumeClaim": {"claimName": "a", "readOnly": True}}, "persistentVolumeClaim.readOnly: found True", "no such field here"),
    ({"projected": {}}, "projected.sources: found nothing", "the field is required"),
    ({"projected": {"sources": []}}, "projected.sources: found []", "at least 1 item"),
    ({"projected": {"sources": [{}]}}, "projected.sources[0]: found {}", "a source is one secret or one configMap"),
    ({"projected": {"sources": [{"secret": {"name": "a"}, "configMap": {"name": "a"}}]}}, "projected.sources[0]: found {", "a source is one"),
    ({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}, "projected.sources[0]: found {", "would give the pods a token"),
    ({"projected": {"sources": [{"clusterTrustBundle": {"path": "t"}}]}}, "projected.sources[0].clusterTrustBundle: found {", "no such field here"),
    ({"csi": {"readOnly": True}}, "csi.driver: found nothing", "the field is required"),
    ({"csi": {"driver": "a", "volumeHandle": "b"}}, "csi.volumeHandle: found 'b'", "no such field here"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "where", "says"), WRONG_SOURCES, ids=lambda value: str(value)[:50])
def test_a_mistake_in_the_source_of_a_volume_is_named(source: dict[str, Any], where: str, says: str) -> None:
    sentence = next(found for found in refusals(volumes=[mounted("/a", **source)]) if where in found)
    assert sentence.startswith(f"spec.volumes[0].{where}")
    assert says in sentence
    assert "; for example " in sentence


def test_whole_sources_are_taken() -> None:
    items = [{"key": ".a", "path": "b/c", "mode": 0o400}]
    files = {"name": "a", "items": items, "optional": True}
    sources: list[dict[str, Any]] = [
        {"secret": {"secretName": "a", "items": items, "optional": False, "defaultMode": 0o777}},
        {"configMap": files | {"defaultMode": 0}},
        {"persistentVolumeClaim": {"claimName": "a"}, "readOnly": False},
        {"projected": {"sources": [{"secret": files}, {"configMap": files}], "defaultMode": 0o440}},
        {"csi": {"driver": "a.b", "readOnly": False, "fsType": "ext4", "volumeAttributes": {"a": "b"}, "nodePublishSecretRef": {"name": "a"}}},
    ]  # fmt: skip
    assert refusals(volumes=[mounted(f"/v{n}", **source) | {"name": f"v{n}"} for n, source in enumerate(sources)]) == []


WRONG_RESOURCES: list[tuple[dict[str, Any], str]] = [
    ({"extended": {"rdma": 1}}, "extended: found 'rdma'; must be an extended resource: DOMAIN/NAME; for example rdma/hca"),
    ({"extended": {"a b/c": 1}}, "extended: found 'a b/c'; must be an extended resource"),
    ({"extended": {f"{'a' * 254}/b": 1}}, "extended: found 'aaa"),
    ({"extended": {"kubernetes.io/batteries": 1}}, "extended: found 'kubernetes.io/batteries'; resources of kubernetes.io are no devices"),
    ({"extended": {"attachable.kubernetes.io/a": 1}}, "extended: found 'attachable.kubernetes.io/a'; resources of kubernetes.io are no"),
    ({"extended": {"requests.a.b/c": 1}}, "extended: found 'requests.a.b/c'; resources of kubernetes.io are no devices"),
    ({"extended": {"nvidia.com/gpu": 1}}, "extended: found 'nvidia.com/gpu'; nvidia.com/gpu stands for the GPUs"),
    ({"gpuResource": "amd.com/gpu", "extended": {"amd.com/gpu": 1}}, "extended: found 'amd.com/gpu'; amd.com/gpu stands for the GPUs"),
    ({"extended": {"a/b": 0}}, "extended.a/b: found '0'; devices are counted in whole numbers, at least 1; for example rdma/hca: 1"),
    ({"extended": {"a/b": "1Gi"}}, "extended.a/b: found '1Gi'; devices are counted"),
    ({"cpu": 2, "requests": {"cpu": "2001m"}}, "requests.cpu: found 2001m; cannot be more than the pod may use: resources.cpu is 2; for example cpu: 2"),
    ({"memory": "1Gi", "requests": {"memory": "1025Mi"}}, "requests.memory: found 1025Mi; cannot be more than the pod may use: resources.memory is 1Gi"),
    ({"memory": "1Gi", "sharedMemory": "2Gi"}, "sharedMemory: found 2Gi; shared memory counts to the memory of the pod: resources.memory is 1Gi; for example sharedMemory: 1Gi"),
]  # fmt: skip


@pytest.mark.parametrize(("resources", "says"), WRONG_RESOURCES, ids=lambda value: str(value)[:50])
def test_an_amount_that_no_pod_can_have_is_refused(resources: dict[str, Any], says: str) -> None:
    (sentence,) = refusals(resources=resources)
    assert sentence.startswith(f"spec.resources.{says}")


@pytest.mark.parametrize(
    "resources",
    [
        {"extended": {"rdma/hca_shared_devices_a": 1, "vpc.amazonaws.com/efa": "4"}},
        {"gpuResource": "amd.com/gpu", "extended": {"nvidia.com/gpu": 1}},
        {"cpu": 2, "memory": "1Gi", "requests": {"cpu": "2000m", "memory": "1024Mi"}, "sharedMemory": "1Gi"},
        {"requests": {"cpu": 64, "memory": "1Ti"}, "sharedMemory": "1Ti"},
    ],
)
def test_amounts_at_their_limits_are_taken(resources: dict[str, Any]) -> None:
    assert refusals(resources=resources) == []
