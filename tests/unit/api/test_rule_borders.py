"""Each rule over several fields at its border: what it just allows, and what it just refuses, with the field that is called wrong."""

from __future__ import annotations

from typing import Any

import pytest
from bad_manifest import GOOD, JOB
from pydantic import ValidationError

from tuneloop_api.combinations.table import METHODS, PROMPTS
from tuneloop_api.v1alpha1 import FineTuneJob, FineTuneJobSpec, ModelDeployment
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

Given = dict[str, Any]
UNMERGED: dict[str, Given] = {method: {"output": {"mergeAdapter": False}} for method in PROMPTS}
"""What a method needs beside itself."""
VOLUME_SOURCES = ("secret", "configMap", "projected", "persistentVolumeClaim", "csi")
SOURCES = [{"uri": "pvc://models/a.csv"}]


def wrong_fields(model: type[SpecModel], given: Given) -> list[str]:
    """Return the paths of the fields that are called wrong."""
    try:
        model.from_wire(given)
    except ValidationError as error:
        return [".".join(map(str, details["loc"])) for details in error.errors()]
    return []


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
    *((Method, {name: True} | kind, wrong) for name in ("useDora", "useRslora") for kind, wrong in (({}, []), ({"type": "lora"}, []), ({"type": "ia3"}, [name]))),
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


TOKENS = {"task": "token-classification"}
WRITING = {"task": "text2text-generation"}
SEVERAL: Given = {"taskOptions": {"problemType": "multi-label"}}
NUMBERS: Given = {"taskOptions": {"problemType": "regression"}}
ANSWERS: Given = {"task": "question-answering"}
OF_TEXTS, OF_TOKENS, OF_ALL = ("macro_f1", "mcc"), ("span_f1", "span_precision", "span_recall"), ("loss", "accuracy")
OF_LANGUAGE = ("perplexity", "bits_per_byte")
READ = {"uri": "pvc://models/reviews.csv"}
RULED = READ | {"labelRule": {"above": 0, "names": ["a", "b"]}}
MASKS: Given = {"task": "fill-mask"}
COMPARED: Given = {"evaluation": {"compareWith": {"uri": "pvc://models/served"}}}
WRITES: Given = {"task": "text-generation"}
SPECS: list[tuple[Given, list[str]]] = [
    (WRITES, []),
    (WRITES | COMPARED, []),
    *(
        (
            WRITES | {"taskOptions": {"lossOn": loss}, "data": {"train": [READ]} | form},
            [] if fits else ["taskOptions.lossOn"],
        )
        for form, allowed in (
            ({}, {"auto", "assistant", "all"}),
            ({"format": "auto"}, {"auto", "assistant", "all"}),
            ({"format": "messages"}, {"auto", "assistant", "all"}),
            ({"format": "prompt-completion"}, {"auto", "completion", "all"}),
            ({"format": "text"}, {"auto", "all"}),
        )
        for loss in ("auto", "assistant", "completion", "all")
        for fits in [loss in allowed]
    ),
    ({"taskOptions": {"lossOn": "all"}}, ["taskOptions.lossOn"]),
    (WRITES | {"model": {"uri": "hf://a/b", "chatTemplate": "{{ messages }}"}}, []),
    ({"model": {"uri": "hf://a/b", "chatTemplate": "{{ messages }}"}}, ["model.chatTemplate"]),
    *(
        (WRITES | given, [field])
        for given, field in (
            ({"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, "model.labels"),
            ({"data": {"train": [READ], "allowMissingClasses": True}}, "data.allowMissingClasses"),
            ({"data": {"train": [READ], "split": {"method": "random", "stratify": True}}}, "data.split.stratify"),
            ({"output": {"formats": ["safetensors", "onnx"]}}, "output.formats"),
            ({"training": {"bestMetric": "span_f1"}}, "training.bestMetric"),
        )
    ),
    *((WRITES | {"training": {"bestMetric": metric}}, []) for metric in (*OF_LANGUAGE, *OF_ALL)),
    *((WRITES | {"method": {"type": method}}, []) for method in ("full", "lora", "ia3", "bitfit")),
    *(
        (WRITES | {"method": {"type": method}, "output": {"mergeAdapter": False}}, ["method.type"])
        for method in ("prefix", "prompt", "p-tuning")
    ),
    ({"output": {"mergeAdapter": False}}, []),
    ({"output": {"mergeAdapter": False}, "method": {}}, []),
    ({"output": {"mergeAdapter": False}, "method": {"type": "lora"}}, []),
    ({"output": {"mergeAdapter": False}, "method": {"type": "full"}}, ["output.mergeAdapter"]),
    ({"output": {"mergeAdapter": False}, "method": {"type": "ia3"}}, []),
    ({"output": {"mergeAdapter": False}, "method": {"type": "bitfit"}}, ["output.mergeAdapter"]),
    *(
        ({"method": {"type": method}, "output": {"mergeAdapter": False}}, [])
        for method in ("prefix", "prompt", "p-tuning")
    ),
    *(
        ({"method": {"type": "prompt"}} | output, ["method.type"])
        for output in ({}, {"output": {}}, {"output": {"mergeAdapter": True}})
    ),
    ({"method": {"type": "prefix"}, "output": {"mergeAdapter": False}} | TOKENS, []),
    *(
        ({"method": {"type": method}, "output": {"mergeAdapter": False}} | TOKENS, ["method.type"])
        for method in ("prompt", "p-tuning")
    ),
    ({"method": {"useDora": True}}, []),
    ({"method": {"useDora": True}, "deepspeed": {}}, []),
    *(({"method": {"useDora": True}, "deepspeed": {"stage": stage}}, []) for stage in (0, 1, 2)),
    ({"method": {"useDora": True}, "deepspeed": {"stage": 3}}, ["deepspeed.stage"]),
    ({"method": {"useDora": False}, "deepspeed": {"stage": 3}}, []),
    ({"deepspeed": {"stage": 3}}, []),
    ({"output": {"checkpoint": "best"}, "method": {"type": "full"}}, []),
    ({"output": {"formats": ["onnx"]}, "method": {"type": "full"}}, []),
    ({"output": {"formats": ["safetensors", "onnx-int8"], "mergeAdapter": True}}, []),
    ({"output": {"formats": ["safetensors"], "mergeAdapter": False}}, []),
    ({"output": {"formats": ["safetensors", "onnx"], "mergeAdapter": False}}, ["output.formats"]),
    ({"output": {"formats": ["onnx-int8"], "mergeAdapter": False}}, ["output.formats"]),
    ({"evaluation": {}, "output": {"mergeAdapter": False}}, []),
    (COMPARED | {"output": {}}, []),
    (COMPARED | {"output": {"mergeAdapter": True}}, []),
    (COMPARED | {"output": {"mergeAdapter": False}}, ["evaluation.compareWith"]),
    (COMPARED | {"data": {"train": [READ], "split": {}}}, []),
    (COMPARED | {"data": {"train": [READ], "split": {"method": "hash"}}}, []),
    (COMPARED | {"data": {"train": [READ], "split": {"method": "random"}}}, ["evaluation.compareWith"]),
    (COMPARED | {"data": {"train": [READ], "test": [READ], "split": {"method": "random"}}}, []),
    ({"data": {"train": [READ], "split": {"method": "random"}}}, []),
    ({"taskOptions": {"tagScheme": "auto"}}, ["taskOptions.tagScheme"]),
    ({"taskOptions": {}}, []),
    ({"taskOptions": {"tagScheme": "auto"}} | TOKENS, []),
    *(
        (fields | {"taskOptions": {name: value}}, wrong if fields else [f"taskOptions.{name}"])
        for name, value in (("sourcePrefix", "a: "), ("maxTargetTokens", 2), ("numBeams", 1))
        for fields, wrong in (({}, []), (WRITING, []))
    ),
    (WRITING | {"data": {"train": [READ], "split": {"method": "random"}, "allowMissingClasses": False}}, []),
    (WRITING | {"data": {"train": [READ], "split": {"stratify": True}}}, ["data.split.stratify"]),
    (WRITING | {"data": {"train": [READ], "allowMissingClasses": True}}, ["data.allowMissingClasses"]),
    (WRITING | {"model": {"uri": "pvc://a/b", "labels": ["a", "b"]}}, ["model.labels"]),
    (WRITING | {"output": {"formats": ["safetensors"]}}, []),
    (WRITING | {"output": {"formats": ["safetensors", "onnx"]}}, ["output.formats"]),
    (WRITING | COMPARED, ["evaluation.compareWith"]),
    *(
        (WRITING | {"method": {"type": method}, "output": {"mergeAdapter": False}}, ["method.type"])
        for method in ("prefix", "prompt", "p-tuning")
    ),
    *((WRITING | {"method": {"type": method}}, []) for method in ("full", "lora", "ia3", "bitfit")),
    *((WRITING | {"training": {"bestMetric": metric}}, []) for metric in ("loss", "accuracy", "perplexity")),
    ({"taskOptions": {"problemType": "single-label"}}, []),
    ({"taskOptions": {"problemType": "single-label"}} | TOKENS, ["taskOptions.problemType"]),
    (SEVERAL, []),
    (SEVERAL | {"training": {"bestMetric": "micro_f1", "earlyStopping": {"metric": "weighted_f1"}}}, []),
    (SEVERAL | {"training": {"bestMetric": "macro_f1", "labelSmoothing": 0}}, []),
    (SEVERAL | {"training": {"bestMetric": "mcc"}}, ["training.bestMetric"]),
    (SEVERAL | {"training": {"earlyStopping": {"metric": "mcc"}}}, ["training.earlyStopping.metric"]),
    (SEVERAL | {"training": {"bestMetric": "span_f1"}}, ["training.bestMetric"]),
    (SEVERAL | {"training": {"labelSmoothing": 0.01}}, ["training.labelSmoothing"]),
    (SEVERAL | {"data": {"train": [READ], "split": {"stratify": True}}}, ["data.split.stratify"]),
    (SEVERAL | {"data": {"train": [READ], "split": {"method": "random"}}}, []),
    *(
        (SEVERAL | {"data": {"train": [READ]} | {name: [READ, RULED]}}, ["data"])
        for name in ("train", "validation", "test")
    ),
    (NUMBERS, []),
    (NUMBERS | TOKENS, ["taskOptions.problemType"]),
    *(
        (NUMBERS | {"training": {"bestMetric": metric}}, [])
        for metric in ("loss", "rmse", "mae", "r2", "pearson", "spearman")
    ),
    *((NUMBERS | {"training": {"earlyStopping": {"metric": metric}}}, []) for metric in ("rmse", "spearman")),
    *(
        (NUMBERS | {"training": {"bestMetric": metric}}, ["training.bestMetric"])
        for metric in ("accuracy", "macro_f1", "micro_f1", "mcc")
    ),
    *(
        (NUMBERS | {"training": {"earlyStopping": {"metric": metric}}}, ["training.earlyStopping.metric"])
        for metric in ("accuracy", "mcc")
    ),
    *(
        ({"training": {"bestMetric": metric}}, ["training.bestMetric"])
        for metric in ("rmse", "mae", "r2", "pearson", "spearman")
    ),
    (SEVERAL | {"training": {"bestMetric": "rmse"}}, ["training.bestMetric"]),
    (SEVERAL | {"training": {"bestMetric": "accuracy"}}, []),
    (NUMBERS | {"training": {"labelSmoothing": 0}}, []),
    (NUMBERS | {"training": {"labelSmoothing": 0.01}}, ["training.labelSmoothing"]),
    (NUMBERS | {"data": {"train": [READ], "split": {"stratify": True}}}, ["data.split.stratify"]),
    (NUMBERS | {"data": {"train": [READ], "split": {"stratify": False, "method": "random"}}}, []),
    (NUMBERS | {"data": {"train": [READ, RULED]}}, ["data"]),
    (NUMBERS | {"data": {"train": [READ], "allowMissingClasses": True}}, ["data.allowMissingClasses"]),
    (NUMBERS | {"data": {"train": [READ], "allowMissingClasses": False}}, []),
    (NUMBERS | {"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, ["model.labels"]),
    (NUMBERS | {"output": {"formats": ["safetensors", "onnx"]}}, []),
    (NUMBERS | {"output": {"formats": ["onnx-int8"]}}, ["output.formats"]),
    (NUMBERS | COMPARED, ["evaluation.compareWith"]),
    (NUMBERS | {"evaluation": {}}, []),
    (MASKS | {"taskOptions": {"maskProbability": 0.3, "wholeWord": True}}, []),
    *(
        ({"taskOptions": {field: value}}, [f"taskOptions.{field}"])
        for field, value in (("maskProbability", 0.15), ("wholeWord", False))
    ),
    *(
        (MASKS | {"taskOptions": {"maskProbability": value}}, wrong)
        for value, wrong in (
            (0, ["taskOptions.maskProbability"]),
            (0.001, []),
            (0.999, []),
            (1, ["taskOptions.maskProbability"]),
        )
    ),
    (MASKS | {"training": {"labelSmoothing": 0.1, "bestMetric": "accuracy"}}, []),
    (MASKS | {"training": {"bestMetric": "macro_f1"}}, ["training.bestMetric"]),
    (MASKS | {"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, ["model.labels"]),
    (MASKS | {"data": {"train": [READ], "split": {"stratify": True, "method": "random"}}}, ["data.split.stratify"]),
    (MASKS | {"data": {"train": [READ], "split": {"stratify": False}}}, ["data.split.stratify"]),
    (MASKS | {"data": {"train": [READ], "split": {"method": "random"}}}, []),
    (MASKS | {"data": {"train": [READ], "allowMissingClasses": True}}, ["data.allowMissingClasses"]),
    (MASKS | {"data": {"train": [READ], "allowMissingClasses": False}}, []),
    (MASKS | {"output": {"formats": ["safetensors"]}}, []),
    (MASKS | {"output": {"formats": ["safetensors", "onnx"]}}, ["output.formats"]),
    (MASKS | {"output": {"formats": ["onnx-int8"]}}, ["output.formats"]),
    (MASKS | COMPARED, ["evaluation.compareWith"]),
    *(
        (MASKS | {"method": {"type": method}, "output": {"mergeAdapter": False}}, wrong)
        for method, wrong in (
            ("lora", []),
            ("ia3", []),
            ("prefix", ["method.type"]),
            ("prompt", ["method.type"]),
            ("p-tuning", ["method.type"]),
        )
    ),
    (ANSWERS, []),
    (ANSWERS | {"taskOptions": {"docStride": 0, "maxAnswerTokens": 1, "noAnswer": "auto"}}, []),
    *(
        ({"task": task, "taskOptions": {option: value}}, [f"taskOptions.{option}"])
        for task in ("text-classification", "token-classification")
        for option, value in (("docStride", 0), ("maxAnswerTokens", 30), ("noAnswer", "auto"))
    ),
    *(
        (ANSWERS | {"taskOptions": {"docStride": value}}, wrong)
        for value, wrong in ((4096, []), (4097, ["taskOptions.docStride"]), (-1, ["taskOptions.docStride"]))
    ),
    *(
        (ANSWERS | {"taskOptions": {"maxAnswerTokens": value}}, wrong)
        for value, wrong in ((1024, []), (1025, ["taskOptions.maxAnswerTokens"]), (0, ["taskOptions.maxAnswerTokens"]))
    ),
    (ANSWERS | {"taskOptions": {"noAnswer": "maybe"}}, ["taskOptions.noAnswer"]),
    *(
        (ANSWERS | {"training": {"bestMetric": metric, "earlyStopping": {"metric": metric}}}, [])
        for metric in ("loss", "exact_match", "f1")
    ),
    (ANSWERS | {"training": {"bestMetric": "accuracy"}}, ["training.bestMetric"]),
    (ANSWERS | {"training": {"earlyStopping": {"metric": "accuracy"}}}, ["training.earlyStopping.metric"]),
    (ANSWERS | {"training": {"bestMetric": "macro_f1"}}, ["training.bestMetric"]),
    ({"training": {"bestMetric": "exact_match"}}, ["training.bestMetric"]),
    ({"training": {"bestMetric": "f1"}} | TOKENS, ["training.bestMetric"]),
    (ANSWERS | {"training": {"labelSmoothing": 0}}, []),
    (ANSWERS | {"training": {"labelSmoothing": 0.01}}, ["training.labelSmoothing"]),
    (ANSWERS | {"data": {"train": [READ], "split": {"method": "random"}}}, []),
    (ANSWERS | {"data": {"train": [READ], "split": {"stratify": True, "method": "random"}}}, ["data.split.stratify"]),
    *(
        (ANSWERS | {"data": {"train": [READ]} | {name: [READ, RULED]}}, ["data"])
        for name in ("train", "validation", "test")
    ),
    (ANSWERS | {"data": {"train": [READ], "allowMissingClasses": True}}, ["data.allowMissingClasses"]),
    (ANSWERS | {"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, ["model.labels"]),
    (ANSWERS | {"output": {"formats": ["safetensors"]}}, []),
    *((ANSWERS | {"output": {"formats": ["safetensors", name]}}, ["output.formats"]) for name in ("onnx", "onnx-int8")),
    (ANSWERS | COMPARED, ["evaluation.compareWith"]),
    (ANSWERS | {"method": {"type": "prefix"}, "output": {"mergeAdapter": False}}, []),
    *(
        (ANSWERS | {"method": {"type": method}, "output": {"mergeAdapter": False}}, ["method.type"])
        for method in ("prompt", "p-tuning")
    ),
    ({"data": {"train": [RULED]}, "training": {"labelSmoothing": 0.1, "bestMetric": "mcc"}}, []),
    ({"training": {"bestMetric": "micro_f1"}}, ["training.bestMetric"]),
    ({"training": {"earlyStopping": {"metric": "weighted_f1"}}}, ["training.earlyStopping.metric"]),
    ({"training": {"bestMetric": "micro_f1"}} | TOKENS, ["training.bestMetric"]),
    *(
        (
            task | {"data": {"train": [READ], "balance": balance}},
            [f"data.balance.{field}" for field in wrong] if task is NUMBERS else [],
        )
        for task in ({}, SEVERAL, TOKENS, NUMBERS)
        for balance, wrong in (
            ({"classWeights": "balanced"}, ["classWeights"]),
            ({"classWeights": "effective-number"}, ["classWeights"]),
            ({"focalGamma": 0.01}, ["focalGamma"]),
            ({"classWeights": "none", "focalGamma": 0}, []),
            ({}, []),
        )
    ),
    (
        {"data": {"train": [READ], "balance": {"focalGamma": 2}}, "training": {"labelSmoothing": 0.1}},
        ["data.balance.focalGamma"],
    ),
    ({"data": {"train": [READ], "balance": {"focalGamma": 2}}, "training": {"labelSmoothing": 0}}, []),
    ({"data": {"train": [READ], "balance": {"focalGamma": 2}}, "training": {}}, []),
    ({"data": {"train": [READ], "balance": {"focalGamma": 0}}, "training": {"labelSmoothing": 0.1}}, []),
    ({"data": {"train": [READ], "balance": {"classWeights": "balanced"}}, "training": {"labelSmoothing": 0.1}}, []),
    *(
        (
            {"method": {"type": method}, "training": {"layerwiseLrDecay": 0.9}} | UNMERGED.get(method, {}),
            [] if method in {"full", "bitfit"} else ["training.layerwiseLrDecay"],
        )
        for method in METHODS
    ),
    ({"training": {"layerwiseLrDecay": 0.99}}, ["training.layerwiseLrDecay"]),
    ({"training": {"layerwiseLrDecay": 1}}, []),
    *(
        (
            {"method": {"type": method}, "training": {"gradientCheckpointing": "always"}} | UNMERGED.get(method, {}),
            ["training.gradientCheckpointing"] if method == "prefix" else [],
        )
        for method in METHODS
    ),
    ({"method": {"type": "prefix"}, "training": {"gradientCheckpointing": "never"}} | UNMERGED["prefix"], []),
    ({"training": {"gradientCheckpointing": "always"}}, []),
    ({"training": {"neftuneAlpha": 5}}, []),
    ({"scheduling": {"minNodes": 1}}, []),
    ({"scheduling": {"minNodes": 2}}, ["scheduling.minNodes"]),
    ({"scheduling": {"minNodes": 2}, "resources": {}}, ["scheduling.minNodes"]),
    ({"scheduling": {"minNodes": 2}, "resources": {"nodes": 2}}, []),
    ({"scheduling": {"minNodes": 3}, "resources": {"nodes": 2}}, ["scheduling.minNodes"]),
    ({"scheduling": {}, "resources": {"nodes": 1}}, []),
]


@pytest.mark.parametrize(("fields", "wrong"), SPECS, ids=str)
def test_a_rule_over_blocks_of_the_spec_calls_one_field_wrong(fields: Given, wrong: list[str]) -> None:
    assert wrong_fields(FineTuneJobSpec, GOOD[JOB] | fields) == wrong


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "fill-mask"])
@pytest.mark.parametrize("metric", [*OF_TEXTS, *OF_TOKENS, *OF_LANGUAGE, *OF_ALL])
def test_a_metric_is_named_only_for_its_task(metric: str, task: str) -> None:
    own = {"text-classification": OF_TEXTS, "token-classification": OF_TOKENS}
    fits = metric in {*OF_ALL, *own.get(task, ())}
    spec = GOOD[JOB] | {"task": task}
    best = wrong_fields(FineTuneJobSpec, spec | {"training": {"bestMetric": metric}})
    stopping = wrong_fields(FineTuneJobSpec, spec | {"training": {"earlyStopping": {"metric": metric}}})
    assert (best, stopping) == (([], []) if fits else (["training.bestMetric"], ["training.earlyStopping.metric"]))


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
