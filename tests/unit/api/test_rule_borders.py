"""Each rule over several fields of a block at its border: what it just allows, and what it just refuses, with the field that is called wrong."""

from __future__ import annotations

import pytest
from bad_manifest import GOOD
from rule_borders import Given, wrong_fields

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_api.v1alpha1.common import MOST_ANNOTATION_BYTES, ObjectMeta
from tuneloop_api.v1alpha1.fine_tune_job.checkpoint import Checkpoint
from tuneloop_api.v1alpha1.fine_tune_job.data import Data, LabelRule, Source, Split
from tuneloop_api.v1alpha1.fine_tune_job.deepspeed import DeepSpeed
from tuneloop_api.v1alpha1.fine_tune_job.failure_policy import FailurePolicy, FailureRule
from tuneloop_api.v1alpha1.fine_tune_job.model_source import ModelSource
from tuneloop_api.v1alpha1.fine_tune_job.resources import Resources
from tuneloop_api.v1alpha1.fine_tune_job.scheduling import Scheduling
from tuneloop_api.v1alpha1.fine_tune_job.status import Restarts, Usage
from tuneloop_api.v1alpha1.fine_tune_job.training import EvaluateEvery, Method, Training
from tuneloop_api.v1alpha1.model_deployment.runtime import RuntimeOptions
from tuneloop_api.v1alpha1.model_deployment.server import Lifecycle
from tuneloop_api.v1alpha1.model_deployment.spec import ServedModel
from tuneloop_api.v1alpha1.pod_env import EnvVariable, KeyReference
from tuneloop_api.v1alpha1.pod_volumes import Volume
from tuneloop_api.v1alpha1.pods import Toleration
from tuneloop_api.wire.model import SpecModel

VOLUME_SOURCES = ("secret", "configMap", "projected", "persistentVolumeClaim", "csi")
SOURCES = [{"uri": "pvc://models/a.csv"}]
RULES: list[tuple[type[SpecModel], Given, list[str]]] = [
    (DeepSpeed, {"offloadOptimizer": "cpu", "stage": 1}, []),
    (DeepSpeed, {"offloadOptimizer": "cpu"}, []),
    (DeepSpeed, {"offloadOptimizer": "none", "stage": 0}, []),
    (DeepSpeed, {"offloadOptimizer": "cpu", "stage": 0}, ["offloadOptimizer"]),
    (Resources, {}, []),
    (Resources, {"processesPerNode": 1}, []),
    (Resources, {"processesPerNode": 2}, ["processesPerNode"]),
    (Resources, {"processesPerNode": 4, "gpusPerNode": 4}, []),
    (Resources, {"processesPerNode": 5, "gpusPerNode": 4}, ["processesPerNode"]),
    (Resources, {"processesPerNode": 256, "gpusPerNode": 0}, []),
    (Training, {"epochs": 1, "maxSteps": 1}, ["maxSteps"]),
    (Training, {"warmupRatio": 0.1, "warmupSteps": 1}, ["warmupSteps"]),
    (Training, {"microBatchSize": 32}, []),
    (Training, {"microBatchSize": 31}, ["microBatchSize"]),
    (Training, {"microBatchSize": 64}, ["microBatchSize"]),
    (Training, {"microBatchSize": 33, "globalBatchSize": 33}, []),
    (Training, {"globalBatchSize": 33}, []),
    (Training, {"maxSteps": 9, "warmupSteps": 9}, []),
    (Training, {"maxSteps": 9, "warmupSteps": 10}, ["warmupSteps"]),
    (Training, {"maxSteps": 1}, []),
    (Training, {"warmupSteps": 10}, []),
    (EnvVariable, {"name": "A", "value": ""}, []),
    (EnvVariable, {"name": "A"}, [""]),
    (EnvVariable, {"name": "A", "configMapKeyRef": {"name": "a", "key": "b", "optional": False}}, []),
    (EnvVariable, {"name": "A", "value": "", "configMapKeyRef": {"name": "a", "key": "b"}}, [""]),
    (EnvVariable, {"name": "A", "secretKeyRef": {"name": "a", "key": "b"}, "configMapKeyRef": {"name": "a", "key": "b"}}, [""]),
    (EnvVariable, {"name": "A" * 256, "value": "b" * 4096}, []),
    (EnvVariable, {"name": "A" * 257, "value": "b" * 4097}, ["name", "value"]),
    (EnvVariable, {"name": "A", "secretKeyRef": {"name": "a"}}, ["secretKeyRef.key"]),
    (KeyReference, {"name": "a", "key": "b" * 253}, []),
    (KeyReference, {"name": "a", "key": "b" * 254}, ["key"]),
    (ModelSource, {"uri": "hf://a/b", "secretRef": {"name": "a"}}, []),
    (ModelSource, {"uri": "pvc://a/b", "secretRef": {"name": "a"}}, ["secretRef"]),
    (ModelSource, {"uri": "hf://a/b", "secretRef": {"name": "a", "key": "b"}}, []),
    *((ModelSource, {"uri": f"{scheme}://bucket/b", "secretRef": {"name": "a"}}, []) for scheme in ("s3", "gs", "az")),
    *((ModelSource, {"uri": f"{scheme}://bucket/b", "secretRef": {"name": "a", "key": "b"}}, ["secretRef.key"]) for scheme in ("s3", "gs", "az")),
    (ModelSource, {"uri": "s3://bucket/b", "revision": "main"}, ["revision"]),
    *((Source, {"uri": f"{scheme}://bucket/b", "secretRef": {"name": "a"}}, []) for scheme in ("s3", "gs", "az")),
    *((Source, {"uri": uri, "secretRef": {"name": "a"}}, ["secretRef"]) for uri in ("pvc://a/b", "file:///a", "feedback://reviews")),
    (Source, {"uri": "s3://bucket/b", "secretRef": {"name": "a", "key": "b"}}, ["secretRef.key"]),
    *((Volume, {"name": "a", "mountPath": "/a", source: {}}, []) for source in VOLUME_SOURCES),
    *((Volume, {"name": "a", "mountPath": "/a", "readOnly": True, source: {}}, []) for source in VOLUME_SOURCES),
    *((Volume, {"name": "a", "mountPath": "/a", "readOnly": False, source: {}}, []) for source in VOLUME_SOURCES[3:]),
    *((Volume, {"name": "a", "mountPath": "/a", "readOnly": False, source: {}}, ["readOnly"]) for source in VOLUME_SOURCES[:3]),
    (Volume, {"name": "a", "mountPath": "/a"}, [""]),
    (Volume, {"name": "a", "mountPath": "/a", "secret": {}, "csi": {}}, [""]),
    (Volume, {"name": "a" * 63, "mountPath": "/" + "a" * 255, "secret": {}}, []),
    (Volume, {"name": "a" * 64, "mountPath": "/" + "a" * 256, "secret": {}}, ["name", "mountPath"]),
    (Volume, {"name": "a", "mountPath": "/a", "hostPath": {}}, ["hostPath"]),
    (EvaluateEvery, {}, [""]),
    (EvaluateEvery, {"steps": 1, "epochs": 1}, [""]),
    (EvaluateEvery, {"epochs": 0.5}, []),
    *((Method, {"type": "full", name: value}, [name]) for name, value in (("rank", 1), ("alpha", 1), ("dropout", 0.5), ("targetModules", ["a"]))),
    *((Method, {name: value} | kind, []) for name, value in (("rank", 1), ("alpha", 1)) for kind in ({}, {"type": "lora"})),
    (Method, {"type": "ia3", "targetModules": ["a"]}, []),
    (Method, {"type": "bitfit", "targetModules": ["a"]}, ["targetModules"]),
    *((Method, {name: True} | kind, wrong) for name in ("useDora", "useRslora", "usePissa") for kind, wrong in (({}, []), ({"type": "lora"}, []), ({"type": "ia3"}, [name]))),
    (Method, {"type": "full", "freeze": ["embeddings", r"layer\.[0-5]\."]}, []),
    (Method, {"type": "full", "freeze": ["a b"]}, ["freeze.0"]),
    *((Method, {"type": method, "virtualTokens": 1}, []) for method in ("prefix", "prompt", "p-tuning")),
    *((Method, {"virtualTokens": 1} | kind, ["virtualTokens"]) for kind in ({}, {"type": "lora"}, {"type": "full"})),
    *((Method, {"freeze": ["embeddings"]} | kind, ["freeze"]) for kind in ({}, {"type": "lora"}, {"type": "bitfit"})),
    (ModelSource, {"uri": "hf://a/b", "revision": "main"}, []),
    (ModelSource, {"uri": "pvc://a/b", "revision": "main"}, ["revision"]),
    (LabelRule, {"above": 1, "names": ["a", "b"]}, []),
    (LabelRule, {"above": 1, "names": ["a", "a"]}, ["names"]),
    (Split, {"method": "random", "stratify": True}, []),
    (Split, {"method": "hash", "stratify": False}, ["stratify"]),
    (Split, {"stratify": True}, ["stratify"]),
    (Split, {"method": "random", "stratify": True, "groupBy": "user"}, ["stratify"]),
    (Split, {"method": "random", "stratify": False, "groupBy": "user"}, []),
    (Split, {"groupBy": "user"}, []),
    (Split, {"validation": 0.89}, []),
    (Split, {"validation": 0.9}, ["validation"]),
    (Split, {"test": 0.89}, []),
    (Split, {"test": 0.9}, ["validation"]),
    (Split, {"validation": 0.5, "test": 0.49}, []),
    (Split, {"validation": 0.5, "test": 0.5}, ["validation"]),
    (Data, {"train": SOURCES, "validation": SOURCES, "test": SOURCES}, []),
    (Data, {"train": SOURCES, "validation": SOURCES, "test": SOURCES, "split": {}}, ["split"]),
    (Data, {"train": SOURCES, "validation": SOURCES, "split": {}}, []),
    (Data, {"train": SOURCES, "test": SOURCES, "split": {}}, []),
    (Data, {"train": SOURCES, "validation": SOURCES, "split": {"validation": 0.1}}, ["split.validation"]),
    (Data, {"train": SOURCES, "validation": SOURCES, "split": {"test": 0.1}}, []),
    (Data, {"train": SOURCES, "test": SOURCES, "split": {"test": 0.1}}, ["split.test"]),
    (Data, {"train": SOURCES, "test": SOURCES, "split": {"validation": 0.1}}, []),
    (Data, {"train": SOURCES, "split": {"validation": 0.1, "test": 0.1}}, []),
    (Scheduling, {"minNodes": 1, "shrinkAfter": "1s"}, []),
    (Scheduling, {"minNodes": 1, "shrinkAfter": "0s"}, ["shrinkAfter"]),
    (Scheduling, {"shrinkAfter": "1s"}, ["shrinkAfter"]),
    (Toleration, {"key": "a"}, []),
    (Toleration, {"operator": "Exists"}, []),
    (Toleration, {}, ["operator"]),
    (Toleration, {"operator": "Equal", "value": "a"}, ["operator"]),
    (Toleration, {"key": "a", "operator": "Exists", "value": ""}, []),
    (Toleration, {"key": "a", "operator": "Exists", "value": "b"}, ["value"]),
    (Toleration, {"key": "a", "operator": "Equal", "value": "b"}, []),
    (Toleration, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 0}, []),
    (Toleration, {"key": "a", "effect": "NoSchedule", "tolerationSeconds": 0}, ["tolerationSeconds"]),
    (Toleration, {"key": "a", "tolerationSeconds": 0}, ["tolerationSeconds"]),
    (Checkpoint, {"every": "1s"}, []),
    (Checkpoint, {"every": "0m"}, ["every"]),
    (Checkpoint, {"every": "1s", "everySteps": 1}, ["everySteps"]),
    (Checkpoint, {"everySteps": 1}, []),
    (Checkpoint, {"resume": "auto", "resumeFrom": "pvc://models/a"}, []),
    (Checkpoint, {"resumeFrom": "pvc://models/a"}, []),
    (Checkpoint, {"resume": "never", "resumeFrom": "pvc://models/a"}, ["resumeFrom"]),
    (FailureRule, {"class": "Storage", "action": "Fail"}, []),
    (FailureRule, {"exitCodes": [1, 255], "action": "Fail"}, []),
    (FailureRule, {"exitCodes": [1], "class": "Storage", "action": "Fail"}, [""]),
    (FailureRule, {"action": "Fail"}, [""]),
    (FailurePolicy, {"startDeadline": "1s", "hangTimeout": "1s"}, []),
    (FailurePolicy, {"startDeadline": "0s", "hangTimeout": "0h"}, ["startDeadline", "hangTimeout"]),
    (ServedModel, {"uri": "pvc://models/a", "digest": f"sha256:{'a' * 64}"}, []),
    (ServedModel, {"fineTuneJobRef": {"name": "a"}, "digest": f"sha256:{'a' * 64}"}, ["digest"]),
    (ServedModel, {"fineTuneJobRef": {"name": "a"}, "uri": "pvc://models/a"}, [""]),
    (Lifecycle, {"startup": "1s", "drain": "0s"}, []),
    (RuntimeOptions, {"engine": "onnx", "dtype": "int8"}, []),
    (RuntimeOptions, {"engine": "torch", "dtype": "fp32"}, ["dtype"]),
    (RuntimeOptions, {"dtype": "int8"}, ["dtype"]),
    (Lifecycle, {"startup": "0s"}, ["startup"]),
]  # fmt: skip


@pytest.mark.parametrize(("model", "given", "wrong"), RULES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_rule_calls_one_field_wrong_just_behind_its_border(
    model: type[SpecModel], given: Given, wrong: list[str]
) -> None:
    assert wrong_fields(model, given) == wrong


@pytest.mark.parametrize(
    ("labels", "wrong"),
    [
        ({"a": "v" * 63}, []),
        ({"a": "v" * 64}, ["labels.a"]),
        ({"k" * 63: "v"}, []),
        ({"k" * 64: "v"}, [f"labels.{'k' * 64}.[key]"]),
        ({f"{'p' * 253}/{'k' * 63}": "v"}, []),
        ({f"{'p' * 254}/{'k' * 63}": "v"}, [f"labels.{'p' * 254}/{'k' * 63}.[key]"]),
    ],
    ids=["value 63", "value 64", "name 63", "name 64", "prefix 253", "prefix 254"],
)
def test_labels_have_the_lengths_of_the_api_server(labels: dict[str, str], wrong: list[str]) -> None:
    assert wrong_fields(ObjectMeta, {"labels": labels}) == wrong


@pytest.mark.parametrize(("kind", "most"), [(FineTuneJob, 48), (ModelDeployment, 36)])
def test_a_name_leaves_room_for_those_of_the_children(kind: type[SpecModel], most: int) -> None:
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": kind.__name__, "spec": GOOD[kind]}
    names = {"a" * most: [], "a" * (most + 1): ["metadata.name"], "a.b": ["metadata.name"], "a-0": []}
    for name, wrong in names.items():
        assert wrong_fields(kind, manifest | {"metadata": {"name": name}}) == wrong
    assert wrong_fields(kind, manifest | {"metadata": {}}) == ["metadata.name"]


@pytest.mark.parametrize(("size", "fits"), [(MOST_ANNOTATION_BYTES, True), (MOST_ANNOTATION_BYTES + 1, False)])
@pytest.mark.parametrize("letter", ["a", "\u00e9", "\ud800"])
def test_annotations_are_counted_in_bytes_keys_and_values_together(size: int, letter: str, fits: bool) -> None:
    assert MOST_ANNOTATION_BYTES == 262144
    of_letter = len(letter.encode(errors="replace"))
    value = letter * ((size - 1) // of_letter)
    value += "a" * (size - 1 - len(value.encode(errors="replace")))
    wrong = wrong_fields(ObjectMeta, {"annotations": {"k": value}})
    assert wrong == ([] if fits else ["annotations"])


def test_counters_begin_at_zero() -> None:
    assert Restarts().to_wire() == dict.fromkeys(("total", "failure", "disruption", "withoutProgress", "sinceCheckpoint"), 0)  # fmt: skip
    assert Usage().to_wire() == dict.fromkeys(("gpuSeconds", "activeSeconds", "usefulSeconds", "lostSteps"), 0)
