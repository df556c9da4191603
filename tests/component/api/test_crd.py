"""The generated CRDs: structural, bounded, without defaults in the spec, and the files in `crds/` are the current ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tuneloop_api.crd import generator as crd
from tuneloop_api.crd.yaml_text import to_yaml
from tuneloop_api.v1alpha1.common import MOST_ANNOTATION_BYTES
from tuneloop_cli.manifests.yaml_scalars import KubectlLoader

ROOT = Path(__file__).parents[3]
FORBIDDEN = {
    "$ref", "$defs", "definitions", "dependencies", "discriminator", "patternProperties", "readOnly", "writeOnly", "deprecated", "id", "const",
    "anyOf", "oneOf", "allOf", "not", "title", "default", "nullable", "uniqueItems", "examples",
}  # fmt: skip
CONDITION = re.compile(r"conditions\[\?\(@\.type==\"[A-Za-z]+\"\)\]")
YAML_BOOLEANS = {"on", "off", "yes", "no", "y", "n", "true", "false"}
QUANTITY = "x-kubernetes-int-or-string"
"""Stands in place of a type."""
EACH_KIND = pytest.mark.parametrize("resource", crd.RESOURCES, ids=lambda resource: resource.model.__name__)


@EACH_KIND
def test_every_node_is_structural_and_no_field_has_a_default(resource):
    schema = crd.root_schema(resource)
    assert schema["properties"]["status"].pop("default") == {"observedGeneration": -1}
    for path, node in nodes(schema):
        assert not FORBIDDEN & node.keys(), path
        assert type_of(node) in {QUANTITY, "object", "array", "string", "integer", "number", "boolean"}, path
        assert not isinstance(node.get("additionalProperties"), bool), path


@EACH_KIND
def test_every_string_list_and_map_has_a_maximum(resource):
    unbounded = [path for path, node in nodes(crd.root_schema(resource)) if not bounded(node)]
    assert unbounded == []


@EACH_KIND
def test_every_integer_of_the_spec_is_bounded_below_what_a_double_holds_exactly(resource):
    spec = crd.root_schema(resource)["properties"]["spec"]
    for path, node in nodes(spec):
        if type_of(node) == "integer":
            assert 0 <= node["minimum"] <= node["maximum"] < 2**53, path


@EACH_KIND
def test_no_enum_value_of_the_spec_is_a_yaml_boolean(resource):
    spec = crd.root_schema(resource)["properties"]["spec"]
    for path, node in nodes(spec):
        assert not {str(value).lower() for value in node.get("enum", ())} & YAML_BOOLEANS, path


@EACH_KIND
def test_every_field_is_described_for_kubectl_explain(resource):
    for part in ("spec", "status"):
        schema = crd.root_schema(resource)["properties"][part]
        undescribed = [
            path for path, node in nodes(schema) if not path.endswith(("[]", "{}")) and not node.get("description")
        ]
        assert undescribed == []


@EACH_KIND
def test_printer_columns_show_fields_that_exist_with_their_type(resource):
    schema = crd.root_schema(resource)
    for column in resource.columns:
        if column.type != "date":
            path = CONDITION.sub("conditions[]", column.path.removeprefix("."))
            assert field(schema, path)["type"] == column.type, column.name


@EACH_KIND
def test_a_rule_names_a_field_that_exists(resource):
    for path, node in nodes(crd.root_schema(resource)):
        for rule in node.get("x-kubernetes-validations", ()):
            assert "fieldPath" not in rule or field(node, rule["fieldPath"].removeprefix(".")), (path, rule)
            assert rule["message"], (path, rule)


@EACH_KIND
def test_the_file_is_valid_yaml(resource):
    text = crd.files()[f"{resource.plural}.yaml"]
    assert yaml.safe_load(text) == crd.definition(resource)


MOST_CRD_BYTES = 192 * 1024
"""A quarter of an annotation is left for the next versions of the API."""


def as_go_writes_it(definition: dict[str, object]) -> str:
    """Return the JSON that `kubectl apply` keeps in an annotation of the object: compact, with <, > and & escaped as Go's encoding/json does."""
    text = json.dumps(definition, separators=(",", ":"), ensure_ascii=False)
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)


@EACH_KIND
def test_kubectl_apply_can_keep_the_whole_definition_in_an_annotation(resource):
    size = len(as_go_writes_it(crd.definition(resource)).encode())
    assert size <= MOST_CRD_BYTES < MOST_ANNOTATION_BYTES


def test_a_deployment_is_scaled_by_fields_that_exist():
    (job, deployment) = [crd.definition(resource)["spec"]["versions"][0] for resource in crd.RESOURCES]
    assert "scale" not in job["subresources"]
    paths = deployment["subresources"]["scale"]
    types = {
        name: field(deployment["schema"]["openAPIV3Schema"], path.removeprefix("."))["type"]
        for name, path in paths.items()
    }
    assert types == {"specReplicasPath": "integer", "statusReplicasPath": "integer", "labelSelectorPath": "string"}


def test_conditions_merge_by_type():
    for resource in crd.RESOURCES:
        conditions = crd.root_schema(resource)["properties"]["status"]["properties"]["conditions"]
        assert conditions["x-kubernetes-list-type"] == "map"
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_the_names_on_the_command_line_are_short():
    names = [crd.definition(resource)["spec"]["names"] for resource in crd.RESOURCES]
    assert [name["shortNames"] for name in names] == [["ftj"], ["mdep"]]
    assert all(name["categories"] == ["tuneloop"] for name in names)


def test_every_spec_field_is_either_mutable_or_frozen_once_started():
    (resource,) = [resource for resource in crd.RESOURCES if resource.mutable_once_started is not None]
    schema = crd.root_schema(resource)
    rules = [rule for rule in schema["x-kubernetes-validations"] if "oldSelf" in rule["rule"]]
    frozen = {rule["fieldPath"].removeprefix(".spec.") for rule in rules}
    leaves = {path for path, node in nodes(schema["properties"]["spec"]) if path and "properties" not in node}
    mutable = {
        path
        for path in leaves
        if not any(path == root or path.startswith((f"{root}.", f"{root}[", f"{root}{{")) for root in frozen)
    }
    assert mutable == resource.mutable_once_started


@pytest.mark.parametrize("mutable", [set(), {"a"}, {"b.d"}, {"a", "b.c", "b.d"}])
def test_a_block_that_holds_a_mutable_field_is_frozen_field_by_field(mutable):
    schema = {"properties": {"a": {}, "b": {"properties": {"c": {}, "d": {}}}}}
    expected = {(): ["a", "b"], ("a",): ["b"], ("b.d",): ["a", "b.c"], ("a", "b.c", "b.d"): []}
    assert list(crd._frozen(schema, mutable=frozenset(mutable))) == expected[tuple(sorted(mutable))]


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "No",
        "null",
        "1",
        "a: b",
        "- a",
        "#",
        "",
        "é",
        'q"uote',
        "a\nb",
        "2e-4",
        "~",
        "=",
        "yes",
        "True",
        " a",
        "0x1f",
    ],
)
def test_text_survives_the_yaml_writer(text):
    value = {"key": text, "list": [text, {"inner": text, "empty": {}}, []]}
    assert yaml.safe_load(to_yaml(value)) == value
    assert yaml.load(to_yaml(value), Loader=KubectlLoader) == value


def test_the_files_in_the_repository_are_current():
    checked = run("--check", "crds", cwd=ROOT)
    assert checked.returncode == 0, checked.stderr


def test_a_stale_file_is_named(tmp_path):
    assert run(str(tmp_path), cwd=ROOT).returncode == 0
    assert run("--check", str(tmp_path), cwd=ROOT).returncode == 0
    stale = tmp_path / "finetunejobs.yaml"
    stale.write_text(stale.read_text().replace("ftj", "job"))
    checked = run("--check", str(tmp_path), cwd=ROOT)
    assert checked.returncode == 1
    assert checked.stderr == f"{stale} is stale: run `python -m tuneloop_api.crd {tmp_path}`\n"


def run(*arguments, cwd):
    command = [sys.executable, "-m", "tuneloop_api.crd", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={"PYTHONPATH": str(ROOT / "api")}, capture_output=True, text=True, check=False
    )


def nodes(schema, path=""):
    """Yield (dotted path, node) for a schema and everything below it."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}".removeprefix("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def field(schema, path):
    for name in path.split("."):
        schema = schema["properties"][name.removesuffix("[]")]
        schema = schema["items"] if name.endswith("[]") else schema
    return schema


def type_of(node):
    return QUANTITY if node.get(QUANTITY) else node["type"]


def bounded(node):
    if type_of(node) in {"string", QUANTITY}:
        return "enum" in node or "maxLength" in node
    if type_of(node) == "array":
        return "maxItems" in node
    if type_of(node) == "object" and "properties" not in node:
        return "maxProperties" in node
    return True
