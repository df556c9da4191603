"""Writes the CustomResourceDefinitions in `crds/` from the models: `python -m tuneloop_api.crd [--check] [DIR]`.

The schema is structural, carries no default in `spec` (it would be filled in before the CEL rules run), and forbids unknown fields by being
complete. Field docstrings become the descriptions that `kubectl explain` shows.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic.json_schema import GenerateJsonSchema

from tuneloop_api.crd.yaml_text import to_yaml
from tuneloop_api.v1alpha1 import GROUP, VERSION, FineTuneJob, ModelDeployment
from tuneloop_api.wire.quantities import INT_OR_STRING
from tuneloop_api.wire.rules import EXAMPLE, in_cel
from tuneloop_api.wire.text_formats import TEXT_FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core.core_schema import ModelSchema

    from tuneloop_api.wire.model import SpecModel
    from tuneloop_api.wire.rules import Rule

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    """Shown only by `-o wide`."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A kind, as the API server serves it."""

    model: type[SpecModel]
    short_name: str
    columns: tuple[Column, ...]
    mutable_once_started: frozenset[str] | None = None
    """Fields of `spec` that stay mutable after `status.startTime`; None for a kind that never freezes."""
    is_scalable: bool = False
    """Whether `kubectl scale` and a HorizontalPodAutoscaler may set `spec.replicas`."""

    @property
    def plural(self) -> str:
        """The name in paths and files."""
        return f"{self.model.__name__.lower()}s"


_AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date")
_REASON = '.status.conditions[?(@.type=="{}")].reason'
"""Path of the reason of a condition."""
RESOURCES = (
    Resource(
        model=FineTuneJob,
        short_name="ftj",
        mutable_once_started=FineTuneJob.mutable_once_started,
        columns=(
            Column(name="Phase", path=".status.phase"),
            Column(name="Progress", path=".status.progress.percent"),
            Column(name="Step", path=".status.progress.step", type="integer"),
            Column(name="Loss", path=".status.progress.loss", type="number"),
            Column(name="ETA", path=".status.progress.eta"),
            Column(name="Workers", path=".status.workers"),
            Column(name="Pods", path=_REASON.format("PodsReady")),
            Column(name="Restarts", path=".status.restarts.total", type="integer"),
            _AGE,
            Column(name="Failure", path=".status.failure.class", wide=True),
            Column(name="Artifact", path=".status.artifact.uri", wide=True),
            Column(name="Trial", path=".status.search.trial", wide=True),
        ),
    ),
    Resource(
        model=ModelDeployment,
        short_name="mdep",
        is_scalable=True,
        columns=(
            Column(name="Phase", path=".status.phase"),
            Column(name="Stable", path=".status.stable.revision"),
            Column(name="Canary", path=".status.rollout.share"),
            Column(name="Ready", path=".status.ready"),
            Column(name="Reason", path=_REASON.format("Ready")),
            Column(name="Retraining", path=".status.retraining.state"),
            _AGE,
            Column(name="Failure", path=".status.failure.class", wide=True),
            Column(name="Retraining-Why", path=".status.retraining.message", wide=True),
        ),
    ),
)
_SCALE: Json = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}
_NOT_OBSERVED: Json = {"observedGeneration": -1}
"""The status of an object that no operator has observed. Without any status, kstatus would take a new object for one that is done."""
_STANDARD: Json = {  # checked by the API server itself; a rule may name metadata.name because it stands here
    "apiVersion": {"type": "string", "maxLength": 253},
    "kind": {"type": "string", "maxLength": 63},
    "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}},
}


def definition(resource: Resource) -> Json:
    """Return the CustomResourceDefinition of a kind."""
    kind = resource.model.__name__
    names = {"kind": kind, "listKind": f"{kind}List", "plural": resource.plural, "singular": kind.lower()}
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}} | ({"scale": _SCALE} if resource.is_scalable else {}),
        "additionalPrinterColumns": [_printer_column(column) for column in resource.columns],
        "schema": {"openAPIV3Schema": root_schema(resource)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": names | {"shortNames": [resource.short_name], "categories": ["tuneloop"]},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def root_schema(resource: Resource) -> Json:
    """Return the schema of a kind's objects, with the rules that freeze the spec of a started object."""
    schema = structural(resource.model.model_json_schema(by_alias=True, schema_generator=_WithRules))
    schema["properties"] |= _STANDARD
    schema["properties"]["status"]["default"] = _NOT_OBSERVED
    schema["required"] = ["spec"]
    if resource.mutable_once_started is not None:
        frozen = _frozen(schema["properties"]["spec"], mutable=resource.mutable_once_started)
        schema["x-kubernetes-validations"] += [_immutable(path) for path in frozen]
    return schema


class _WithRules(GenerateJsonSchema):
    """Pydantic's generator, which also writes down each model's rules."""

    def model_schema(self, schema: ModelSchema) -> Json:
        generated = super().model_schema(schema)
        rules: tuple[Rule, ...] = schema["cls"].rules
        written = [_validation(rule, generated["properties"]) for rule in rules]
        return generated | ({"x-kubernetes-validations": written} if rules else {})


def _validation(rule: Rule, properties: Json) -> Json:
    written = {"rule": rule.cel, "message": rule.message, "reason": rule.reason}
    # the server shows what was given only for a rule of the field itself
    if rule.field is not None and _is_scalar(properties.get(rule.field, {})):
        sentence, example, rest = rule.message.replace("%", "%%").partition(EXAMPLE)
        text = json.dumps(f"{sentence}; found %s{example}{rest}")
        written["messageExpression"] = (
            f"{text}.format([self.{in_cel(rule.field)}])"  # unlike `+`, its cost is known to be small
        )
    return written | ({"fieldPath": f".{rule.field}"} if rule.field else {})


def _is_scalar(field: Json) -> bool:
    return any(
        option.get("type") in {"string", "integer", "number", "boolean"} for option in [field, *field.get("anyOf", ())]
    )


def _frozen(schema: Json, *, mutable: frozenset[str], above: str = "") -> Iterator[str]:
    """Yield the paths below `spec` that hold no mutable field, each as high up as possible."""
    for name, field in schema["properties"].items():
        path = f"{above}{name}"
        if path in mutable:
            continue
        if any(other.startswith(f"{path}.") for other in mutable):
            yield from _frozen(field, mutable=mutable, above=f"{path}.")
        else:
            yield path


def _immutable(path: str) -> Json:
    """Return the rule that freezes one field. Optional syntax (`self.spec.?x`) would be shorter, but hides its size from the cost estimate."""
    now, before = (_present(root, path) for root in ("self", "oldSelf"))
    started = "has(oldSelf.status) && has(oldSelf.status.startTime)"
    return {
        "rule": f"!({started}) || ({now} ? {before} && self.spec.{path} == oldSelf.spec.{path} : !({before}))",
        "message": "is frozen once the job has started (status.startTime is set): create a new job to change it",
        "fieldPath": f".spec.{path}",
        "reason": "FieldValueForbidden",
    }


def _present(root: str, path: str) -> str:
    parts = f"{root}.spec.{path}".split(".")
    return " && ".join(f"has({'.'.join(parts[:end])})" for end in range(3, len(parts) + 1))


def structural(schema: Json, definitions: Mapping[str, Json] | None = None) -> Json:
    """Rewrite one node of pydantic's JSON Schema as a node of a Kubernetes structural schema (OpenAPI 3.0, nothing nullable)."""
    definitions = schema.get("$defs", definitions) or {}
    node = {key: value for key, value in schema.items() if key not in {"$defs", "title", "default"}}
    if reference := node.pop("$ref", None):
        return structural({**definitions[reference.rsplit("/", 1)[-1]], **node}, definitions)
    options = [option for option in node.pop("anyOf", []) if option != {"type": "null"}]
    if options:
        (only,) = options  # `X | None` is an optional X; there are no other unions
        return structural({**only, **node}, definitions)
    _rewrite_leaf(node)
    values = node.pop("additionalProperties", None)
    if values is True:
        node["x-kubernetes-preserve-unknown-fields"] = True
    elif values:  # False, pydantic's "nothing else", is what a structural schema means anyway
        node["additionalProperties"] = structural(values, definitions)
    if "items" in node:
        node["items"] = structural(node["items"], definitions)
    if "properties" in node:
        node["properties"] = {name: structural(field, definitions) for name, field in node["properties"].items()}
    return node


def _rewrite_leaf(node: Json) -> None:
    """Write in place what belongs to one value as OpenAPI 3.0 and the API server have it."""
    if "const" in node:
        node["enum"] = [node.pop("const")]
    for bound in ("minimum", "maximum"):
        if (limit := node.pop(f"exclusive{bound.title()}", None)) is not None:
            node |= {bound: limit, f"exclusive{bound.title()}": True}
    if text_format := TEXT_FORMATS.get(node.get("pattern", "")):
        del node["pattern"]  # of a pattern the API server shows the bare text; a rule has a message
        text = "string(self)" if INT_OR_STRING in node else "self"
        rule = {"rule": f"{text}.matches(r'{text_format.pattern}')", "message": text_format.message}
        node["x-kubernetes-validations"] = [rule]
    if INT_OR_STRING in node:
        del node["type"]
    if "description" in node:
        node["description"] = " ".join(node["description"].split())


def _printer_column(column: Column) -> Json:
    shown = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return shown | ({"priority": 1} if column.wide else {})


def files() -> dict[str, str]:
    """Return what `crds/` must hold: text by file name."""
    note = "# Generated from api/tuneloop_api by `python -m tuneloop_api.crd`; do not edit.\n"
    return {f"{resource.plural}.yaml": note + to_yaml(definition(resource)) for resource in RESOURCES}


def main() -> int:
    """Write the files, or with --check only say which ones differ; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tuneloop_api.crd", description="Write the CRDs from the models.")
    parser.add_argument("directory", nargs="?", type=Path, default=Path("crds"), metavar="DIR", help="default: crds")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    arguments = parser.parse_args()
    paths = {arguments.directory / name: text for name, text in files().items()}
    stale = [path for path, text in paths.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if arguments.check:
        for path in stale:
            print(f"{path} is stale: run `python -m tuneloop_api.crd {arguments.directory}`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(paths[path], encoding="utf-8")
        print(f"wrote {path}")
    return 0
