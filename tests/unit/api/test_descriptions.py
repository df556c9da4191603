"""What `kubectl explain` shows reads like documentation: whole sentences, the default, and an example that is true."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import yaml
from bad_manifest import put
from manifest_cases import smallest
from pydantic.alias_generators import to_snake

from tuneloop_api.contract.defaults import with_defaults
from tuneloop_api.crd import generator as crd
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.manifests.yaml_scalars import KubectlLoader

Node = dict[str, Any]
IN_QUOTES = re.compile(r"For example `([^`]+)`(?: or `([^`]+)`)?\.")
FEWEST_WORDS = 3
# Without these the example of a field would break a rule.
_RATES = {"path": "training.learningRate", "type": "float", "low": 1e-6, "high": 1}
_LISTED = {"spec.search.space[0].low": None, "spec.search.space[0].high": None}
NEEDS: dict[str, Node] = {
    "spec.search.trials": {"spec.search.space": [_RATES]},
    "spec.search.space[0].numbers": _LISTED | {"spec.search.space[0].type": "categorical"},
    "spec.search.space[0].values": _LISTED
    | {"spec.search.space[0].type": "categorical", "spec.search.space[0].path": "method.type"},
    "spec.scheduling.shrinkAfter": {"spec.scheduling.minNodes": 1},
    "spec.data.split.stratify": {"spec.data.split.method": "random"},
    "spec.method.freeze": {"spec.method.type": "full"},
    "spec.taskOptions.docStride": {"spec.task": "question-answering"},
    "spec.taskOptions.maxAnswerTokens": {"spec.task": "question-answering"},
    "spec.method.virtualTokens": {"spec.method.type": "prefix", "spec.output.mergeAdapter": False},
    "spec.model.digest": {"spec.model.uri": "pvc://models/a"},
    **{
        f"spec.{sources}[0].{field}": {f"spec.{sources}[0].uri": "feedback://reviews"}
        for sources in ("data.train", "data.validation", "data.test", "evaluation.compareWith.recent")
        for field in ("cutoff", "window")
    },
    "spec.feedback.sampleRate": {"spec.feedback.storeInputs": "sample", "spec.feedback.storage.claim": "a"},
    "spec.feedback.retention": {"spec.feedback.storeInputs": "all", "spec.feedback.storage.claim": "a"},
    "spec.feedback.storage": {"spec.feedback.storeInputs": "all"},
    "spec.feedback.storage.claim": {"spec.feedback.storeInputs": "all"},
    "spec.feedback.storage.subPath": {"spec.feedback.storeInputs": "all", "spec.feedback.storage.claim": "a"},
    "spec.feedback.storage.uri": {"spec.feedback.storeInputs": "all"},
    **{
        f"spec.feedback.storage.secretRef{field}": {
            "spec.feedback.storeInputs": "all",
            "spec.feedback.storage.uri": "s3://labels/a",
        }
        for field in ("", ".name")
    },
    "spec.model.revision": {"spec.model.uri": "hf://a/b"},
    "spec.model.secretRef": {"spec.model.uri": "hf://a/b"},
    "spec.env[0].secretKeyRef.name": {"spec.env[0].secretKeyRef.key": "a"},
    "spec.env[0].secretKeyRef.key": {"spec.env[0].secretKeyRef.name": "a"},
    "spec.env[0].configMapKeyRef.name": {"spec.env[0].configMapKeyRef.key": "a"},
    "spec.env[0].configMapKeyRef.key": {"spec.env[0].configMapKeyRef.name": "a"},
    **{
        f"spec.{sources}[0].secretRef{field}": {f"spec.{sources}[0].uri": "s3://bucket/a"}
        for sources in ("data.train", "data.validation", "data.test", "evaluation.compareWith.recent")
        for field in ("", ".name")
    },
    "spec.model.secretRef.key": {"spec.model.secretRef.name": "a"},
    "spec.resources.processesPerNode": {"spec.resources.gpusPerNode": 4},
    "spec.training.layerwiseLrDecay": {"spec.method.type": "full"},
    "spec.taskOptions": {"spec.task": "token-classification"},
    "spec.model.chatTemplate": {"spec.task": "text-generation"},
    "spec.taskOptions.maskProbability": {"spec.task": "fill-mask"},
    **{
        f"spec.taskOptions.{name}": {"spec.task": "text2text-generation"}
        for name in ("sourcePrefix", "maxTargetTokens", "numBeams")
    },
    "spec.rollout.gates[0].similarity": {"spec.rollout.gates[0].metric": "Agreement"},
    "spec.rollout.gates[0].compare": {"spec.rollout.gates[0].query": "a{b='{{revision}}'}"},
    "spec.rollout.shadow": {"spec.rollout.strategy": "Shadow"},
    "spec.rollout.shadow.percent": {"spec.rollout.strategy": "Shadow"},
    "spec.rollout.shadow.minRequests": {"spec.rollout.strategy": "Shadow"},
    "spec.expose": {"spec.rollout": {}},
    "spec.expose.stickyHeader": {"spec.rollout": {}},
    **{
        path: {"spec.image": "a", "spec.runtime.type": "Custom"}
        for path in (
            "spec.runtime.command",
            "spec.runtime.args",
            "spec.runtime.endpoints",
            "spec.runtime.endpoints.port",
            "spec.runtime.endpoints.readinessPath",
            "spec.runtime.endpoints.livenessPath",
            "spec.runtime.endpoints.metricsPath",
            "spec.runtime.endpoints.metricsPort",
            "spec.lifecycle.preStop",
        )
    },
    "spec.runtime.maxModelTokens": {"spec.image": "a", "spec.runtime.type": "VLLM"},
    "spec.model.pin": {"spec.rollout": {}},
    "spec.access.apiKeySecretRef.name": {"spec.access.apiKeySecretRef.key": "a"},
    "spec.access.apiKeySecretRef.key": {"spec.access.apiKeySecretRef.name": "a"},
    "spec.access.rateLimit.burst": {"spec.access.rateLimit.requestsPerSecond": 5},
    "spec.access.networkPolicy": {"spec.access.rateLimit.requestsPerSecond": 5},
    "spec.autoscaling.min": {"spec.autoscaling.max": 10},
    "spec.autoscaling.target": {"spec.autoscaling.max": 10},
}
CHAMPION = "spec.evaluation.compareWith"
"""A block that needs its `uri`."""
INSTEAD = {
    "spec.env[0].secretKeyRef": "spec.env[0].value",
    "spec.env[0].configMapKeyRef": "spec.env[0].value",
    **{
        f"spec.volumes[0].{source}": "spec.volumes[0].secret"
        for source in ("configMap", "persistentVolumeClaim", "projected", "csi")
    },
    "spec.failurePolicy.rules[0].exitCodes": "spec.failurePolicy.rules[0].class",
    "spec.model.fineTuneJobRef": "spec.model.uri",
    "spec.adapters[0].fineTuneJobRef": "spec.adapters[0].uri",
    "spec.rollout.gates[0].query": "spec.rollout.gates[0].metric",
    "spec.training.evaluateEvery.epochs": "spec.training.evaluateEvery.steps",
}
"""Of two fields of which exactly one is given, the other."""
BLOCKS: dict[str, Node] = {
    "spec.search.space": _RATES,
    "spec.data.validation": {"uri": "pvc://models/a"},
    "spec.data.test": {"uri": "pvc://models/a"},
    "spec.evaluation.compareWith.recent": {"uri": "pvc://models/a"},
    "spec.failurePolicy.rules": {"class": "Storage", "action": "Fail"},
    "spec.imagePullSecrets": {"name": "registry"},
    "spec.env": {"name": "A", "value": "b"},
    "spec.rollout.steps": {"weight": 5},
    "spec.rollout.gates": {"name": "errors", "metric": "Errors", "margin": 0.01},
    "spec.retraining.data": {"uri": "pvc://models/a"},
    "spec.retraining.triggers": {"name": "a", "type": "manual"},
    "spec.adapters": {"name": "films", "uri": "pvc://models/films"},
    "spec.volumes": {"name": "a", "mountPath": "/a", "secret": {"secretName": "a"}},
    "spec.scheduling.tolerations": {"key": "gpu", "effect": "NoExecute"},
}
"""Optional lists, and the smallest entry of each."""


TRIGGERS: dict[str, Node] = {
    "accuracy": {"below": 0.9},
    "promql": {"query": "up", "threshold": 5.0},
    "schedule": {"schedule": "30 2 * * 6"},
    "newData": {"minNewSamples": 1},
    "drift": {},
}
"""The smallest trigger of each type."""
TYPES = {
    "features": "drift",
    "dropBelowBaseline": "accuracy",
    "query": "promql",
    "threshold": "promql",
    "clearThreshold": "promql",
    "schedule": "schedule",
    "timeZone": "schedule",
    "startingDeadline": "schedule",
    "minNewSamples": "newData",
}
"""Of the trigger that has a field; accuracy has the others."""


def needs_of_the_loop(path: str) -> Node:
    """Return what a field of `spec.retraining` needs beside itself."""
    if not path.startswith("spec.retraining"):
        return {}
    field = path.removeprefix("spec.retraining.triggers[0].")
    beside = {"spec.rollout.strategy": "Canary", "spec.feedback.enabled": True, "spec.monitoring.baselineWindow": "1d"}
    if field == path:
        return beside
    type_ = TYPES.get(field, "accuracy")
    given = {} if field == "dropBelowBaseline" else TRIGGERS[type_]
    return beside | {"spec.retraining.triggers[0]": {"name": "a", "type": type_} | given}


class Field(NamedTuple):
    """A field of a resource, with its schema."""

    resource: crd.Resource
    path: str
    node: Node

    def __str__(self) -> str:
        return f"{self.resource.short_name}.{self.path}"


def wrong(fields: Iterable[Field], check: Callable[[crd.Resource, str, Node], None]) -> dict[str, str]:
    """Return what is wrong, by field. One test for all fields: hundreds of tests would take as many times longer."""
    found = {}
    for field in fields:
        try:
            check(*field)
        except Exception as error:  # noqa: BLE001  (whatever it is, the test shows it)
            found[str(field)] = f"{type(error).__name__}: {error}"
    return found


def nodes(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, below in node.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    if "properties" in node.get("items", {}):
        for name, below in node["items"]["properties"].items():
            yield from nodes(below, f"{path}[0].{name}")


def fields(*parts: str) -> Iterator[Field]:
    for resource in crd.RESOURCES:
        schema = crd.root_schema(resource)
        for part in parts:
            for path, node in nodes(schema["properties"][part], part):
                if path != part and (resource.model is FineTuneJob or ".model.fineTuneJobRef" not in path):
                    yield Field(resource, path, node)


def optional_leaves() -> list[Field]:
    return [
        field
        for field in fields("spec")
        if "properties" not in field.node and field.path.rpartition(".")[2] not in required(field.resource)
    ]


@cache
def required(resource: crd.Resource) -> set[str]:
    """Return the names of all fields that must be given where their block is."""
    found = [node for _, node in nodes(crd.root_schema(resource), "")]
    return {name for node in found for part in (node, node.get("items", {})) for name in part.get("required", ())}


def says_more_than_its_name(_: crd.Resource, path: str, node: Node) -> None:
    text = node["description"]
    assert re.fullmatch(r"[A-Z`].*\.", text), text
    assert "\n" not in text
    assert "  " not in text
    words = set(re.findall(r"[a-z]+", text.split(". ")[0].lower()))
    name = set(to_snake(path.rpartition(".")[2]).split("_"))
    assert len(words - name - {"the", "a", "an", "of", "for"}) >= FEWEST_WORDS, text


def test_every_field_is_described_in_sentences_that_say_more_than_its_name() -> None:
    assert wrong(fields("spec", "status"), says_more_than_its_name) == {}


def says_its_default(_resource: crd.Resource, _path: str, node: Node) -> None:
    alternatives = ("Not together with", "Default: ")
    assert any(words in node["description"] for words in alternatives), node["description"]


def test_every_optional_field_says_its_default() -> None:
    assert wrong(optional_leaves(), says_its_default) == {}


def with_example() -> list[Field]:
    """Return all fields but those whose values can be listed."""
    return [field for field in fields("spec") if "enum" not in field.node and field.node.get("type") != "boolean"]


def has_examples_that_the_contract_accepts(resource: crd.Resource, path: str, node: Node) -> None:
    examples = [text for found in IN_QUOTES.findall(node["description"]) for text in found if text]
    if not examples and node.get("properties"):
        return  # a block may leave its examples to its fields
    assert examples, node["description"]
    for text in examples:
        manifest = smallest(resource.model)
        if block := block_of(path):
            put(manifest, block, [dict(BLOCKS[block])])
        if path.startswith(f"{CHAMPION}."):
            put(manifest, f"{CHAMPION}.uri", "pvc://models/a")
        for needed, value in (NEEDS.get(path, {}) | needs_of_the_loop(path)).items():
            put(manifest, needed, value)
        put(manifest, path, yaml.load(text, Loader=KubectlLoader))
        for given, other in INSTEAD.items():
            if path.startswith(given):
                put(manifest, other, None)
        if ".labelRule." in path:
            rule = manifest
            for name in path.partition(".labelRule")[0].split("."):
                rule = rule[name.removesuffix("[0]")]
            rule = rule[0]["labelRule"]
            rule.setdefault("above", 3)
            rule.setdefault("names", ["a", "b"])
        resource.model.from_wire(manifest)


def test_every_field_has_an_example_that_the_contract_accepts() -> None:
    assert wrong(with_example(), has_examples_that_the_contract_accepts) == {}


def block_of(path: str) -> str | None:
    """Return the path of the optional list that a field is in."""
    return next((block for block in BLOCKS if path.startswith(f"{block}[0]")), None)


@cache
def settings_of_the_smallest_job() -> Any:
    spec = FineTuneJob.from_wire(smallest(FineTuneJob)).spec
    return with_defaults(spec).model_dump(mode="json", by_alias=True, exclude_none=True)


def filled_in(path: str) -> Any:
    """Return what stands in the settings of a job that leaves everything out; None for what others fill in: the operator or `prepare`."""
    found = settings_of_the_smallest_job()
    ours = (
        path.removeprefix("spec.")
        .replace("[0]", "")
        .replace("validate.", "validateRows.")
        .replace("resources.", "gang.")
    )
    for name in ours.split("."):
        found = found[0] if isinstance(found, list) else found
        found = found.get(name) if isinstance(found, dict) else None
    return found


DEFAULT = re.compile(r"Default: `?([a-z0-9.e-]*[a-z0-9])`?[.,:]")
DOCUMENTED = [
    field for field in fields("spec") if DEFAULT.search(field.node["description"]) and filled_in(field.path) is not None
]


def test_many_defaults_can_be_compared() -> None:
    assert len(DOCUMENTED) >= 25


def is_what_is_filled_in(_: crd.Resource, path: str, node: Node) -> None:
    (text,) = DEFAULT.findall(node["description"])
    filled = filled_in(path)
    assert str(filled).lower() == text or float(filled) == float(text)


def test_every_default_is_what_is_filled_in() -> None:
    assert wrong(DOCUMENTED, is_what_is_filled_in) == {}
