"""Manifests made from the models' own JSON Schema: every field at its borders, every field broken, and random ones.

Values come from the schema that pydantic writes, not from the CRD, so that a bound lost between the two is found.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from tuneloop_api.v1alpha1 import API_VERSION
from tuneloop_api.wire.quantities import INT_OR_STRING

HEX = "0123456789abcdef" * 4

# Blocks whose required fields alone make no valid object, because a rule asks for one of several optional fields.
SMALLEST = {
    "EvaluateEvery": {"steps": 1},
    "FailureRule": {"class": "Storage", "action": "Fail"},
    "EnvVariable": {"name": "A", "value": "b"},
    "Volume": {"name": "a", "mountPath": "/a", "secret": {}},
    "ServedModel": {"uri": "pvc://models/a"},
    "Trigger": {"name": "a", "type": "manual"},
    "AdapterSource": {"name": "a", "uri": "pvc://models/a"},
}
# For each pattern: what matches it, and what does not. A pattern without a line here fails the test.
EXAMPLES = {
    "model": (
        ["hf://a/b", "hf://FacebookAI/roberta-base", "s3://models/bert/base", "gs://m_1/a", "az://models/a/", "pvc://models/a/b.csv", "pvc://a.b-c/x", "file:///a", "file:///ä b", "pvc://a/.a/..b/.../"],
        ["http://a/b", "s3://models", "s3://models/", "s3://ab/c", "s3://Models/a", "s3://-ab/c", "s3://key:secret@bucket/a", "s3://bucket:9000/a", "s3://bucket/a/../b", "s3://bucket/a//b", "s3://[::1]/a", "S3://bucket/a", "s3a://bucket/a", "hf://a", "hf://a/b/c", "hf://a/..", "pvc://UPPER/a", "pvc://a-/b", "pvc://a..b/c", "pvc://a/../b", "pvc://a/.", "pvc://a//b", "pvc://a/%2e%2e/b",
         "pvc://a/b\\c", "pvc://a/b\n", "pvc://a/", "file://a/b", "file:///a/..", "file:///", " pvc://a/b", "pvc://a/b\x00", "pvc://a/b\x7f"],
    ),
    "data": (["pvc://models/a/b.csv", "s3://reviews/2026/a.csv", "gs://reviews/a b.csv", "az://reviews/a?b.csv", "file:///a", "feedback://reviews", "feedback://a"], ["hf://a/b", "s3://reviews", "s3://reviews/%2e%2e/a", "s3://a\\b/c", "https://bucket.s3.amazonaws.com/a", "feedback://", "feedback://A", "feedback://a/b", "feedback://a-", "feedback://" + "a" * 37]),
    "bucket": (["s3://labels/team-a", "gs://m_1/a/", "az://labels/a/b"], ["s3://labels", "s3://labels/", "pvc://labels/a", "file:///a", "feedback://a", "s3://labels/../a", "s3://labels:9000/a", "s3://Labels/a"]),
    "moment": (["2026-11-30T12:00:00Z"], ["", "2026-11-30", "2026-11-30T12:00:00", "2026-11-30T12:00Z", "2026-11-30T12:00:00+01:00", "2026-11-30T12:00:00.5Z", "2026-11-30 12:00:00Z"]),
    "files": (["pvc://models/a/b.csv", "file:///a"], ["hf://a/b", "s3://bucket/a", "pvc://a/../b"]),
    "name": (["a", "models", "a.b-c", "0"], ["-a", "a-", "A", "a_b", "a/b", "ä", "a\n", "a..b", ""]),
    "duration": (
        ["30s", "10m", "24h", "14d", "1h30m", "1d12h", "9999d", "99999h", "999999m", "99999999s", "0s"],
        ["30", "1.5h", "-1s", "30m1h", "1h1h", "10000d", "1w", "1 h", "s", "5M", "１s", "1h\n", ""],
    ),
    "memory": (["1", "1.5", ".5", "16Gi", "1k", "0"], ["-1", "1gi", "Gi", "1 Gi", "1e3", "1.", "1K", "500m", "٣", ""]),
    "cpu": (["1", "500m", "1.5", ".5", "0"], ["-1", "16Gi", "m", "1 m", "1e3", "1.", "1.5m", "٣", ""]),
    "folder": (["a", "a/b.c", "_/-", "..a"], ["/a", "a/", "a//b", "a b", "ä", "..", "a/../b", "a/.", ""]),
    "image": (
        ["a", "a:1", "a/b:1-x", "registry.example.com:5000/a/b_c@sha256:" + HEX, "localhost:5000/a"],
        ["A", "a b", "a:", "a:b:c", "a@sha256:1", "a/B", "a\n", "/a", "https://a/b", ""],
    ),
    "resource": (["nvidia.com/gpu", "a/B_c"], ["gpu", "nvidia.com/", "/gpu", "nvidia.com/gpu/x", "a b/c", "-/a"]),
    "revision": (["main", "refs/pr/1", "v1.0-rc_2", "0" * 40], ["", "a..b", "/a", "a/", "a b", "a\n", "ä"]),
    "served revision": (["7d1f0b2c", "0" * 8], ["", "7d1f0b2", "7d1f0b2c0", "7D1F0B2C", "7d1f0b2g", "７d1f0b2c", "7d1f0b2c\n"]),
    "split": (["train", "a-b.c"], ["", "..", "a/b", "a..b", "a b", "a\n"]),
    "layer": (["all-linear", "attention.self.query", "q_proj"], ["", "a-b", ".", "a..b", ".*", "a b", "a\n"]),
    "parameters": (["embeddings", r"layer\.[0-5]\.", "^a|(b+)?$", "a*-_"], ["", "a b", "a{2}", "a/b", "ä", "a\n"]),
    "line": (["x", "é" * 128, "\U0001f600" * 128, "\u202ea b\u200b", "$(rm -rf /); `x` {{y}} %s"], ["", "a\nb", "a\x00", "a\n", "\x7f"]),
    "key": (["a", "nvidia.com/gpu.present", "a.b-c/D_e.f"], ["", "a b", "-a", "a/b/c", "A.b/c", "/a", "a/", "a\n", "a..b/c", "ä"]),
    "label": (["", "a", "A-b_c.d", "0"], ["-", "a b", "a-", "a/b", "a\n", "ä"]),
    "variable": (["A", "_a1", "https_proxy", "a.b-c"], ["", "1A", "-a", ".a", "A B", "A=B", "A\n", "Ä", "$A"]),
    "value": (["", "x", "a\nb", "$(HOME)/é", "a=b"], ["\x00", "a\x00b"]),
    "object key": (["token", ".dockerconfigjson", "a..b", "A_b-c.d", "_"], ["", ".", "..", "..a", "a/b", "a b", "ä", "a\n"]),
    "gate": (["a", "a-b0", "errors"], ["", "0", "0a", "-a", "a-", "A", "a.b", "a_b", "ä", "a\n"]),
    "volume": (["a", "a-b0", "0"], ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a\n"]),
    "mount path": (["/a", "/a/B_c.d-e", "/..a/.b"], ["", "/", "a", "/a/", "/a//b", "/a/../b", "/.", "/a b", "/a:b", "/ä", "/a\n"]),
    "url path": (["/a", "/v2/health/ready", "/~a/.b_c-d", "/.."], ["", "/", "a", "/a/", "//a", "/a//b", "/a?b", "/a#b", "/a b", "/a%20", "/ä", "/a\n"]),
    "interface": (["eth0", "br-ex", "eth0.100", "bond_0"], ["", "-a", ".a", "a b", "^docker", "=eth0", "a,b", "a/b", "ä", "a\n"]),
    "digest": ([f"sha256:{HEX}"], [f"sha256:{HEX[1:]}", f"SHA256:{HEX}", HEX, f"sha256:{HEX[1:]}G"]),
    "feature": (["confidence", "top_2", "a-b.c", "0", "_"], ["", "-a", "a-", ".a", "A", "a b", "a/b", "ä", "a\n"]),
    "cron": (["30 2 * * 6", "*/5 8-18 1,15 JAN MON#1", "0 0 L * *"], ["", "0 0 * *", "0 0 0 * * *", "0  0 * * *", " 0 0 * * *", "@daily", "0 0 * * *\n", "0 0 * * ?"]),
    "zone": (["Europe/Berlin", "Etc/GMT+1", "America/Argentina/Buenos_Aires", "America/Port-au-Prince", "UTC"], ["", "/a", "a/", "a//b", "../a", "a b", "1a", "ä", "a\n"]),
    "reason": (["A", "AsExpected", "a:b"], ["", "1A", "A b", "A:"]),
}  # fmt: skip
WRONG_TYPES = {
    "boolean": [0, 1, 1.0, "true", "", [], {}],
    "integer": [1.5, "1", "", True, [], {}],
    "number": ["0.1", "", True, False, [], {}],
    "string": [1, 0.5, True, [], {}],
    "array": [{}, "a", 1, True],
    "object": [[], "a", 1, True],
}

_OPTIONAL = 0.2
"""Chance of an optional field in a random object: with more, a rule between two fields refuses nearly all of them."""


@dataclass(frozen=True)
class Case:
    """One manifest, and what was done to it."""

    text: str
    manifest: dict[str, Any]


@cache
def schema_of(kind):
    """Return the JSON schema of a kind, to be read only."""
    return kind.model_json_schema(by_alias=True)


def smallest(kind):
    schema = schema_of(kind)
    spec = fill(schema, schema["properties"]["spec"])
    return {"apiVersion": API_VERSION, "kind": kind.__name__, "metadata": {"name": "a"}, "spec": spec}


def resolve(schema, node):
    """Follow references and drop `null` from unions; the name of the model, if it is one, stands under `title`."""
    while "$ref" in node or "anyOf" in node:
        node = (
            schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
            if "$ref" in node
            else next(o for o in node["anyOf"] if o != {"type": "null"})
        )
    return node


def fill(schema, node):
    """Return the smallest value that the node accepts."""
    node = resolve(schema, node)
    if node["type"] == "object":
        required = {name: fill(schema, node["properties"][name]) for name in node.get("required", ())}
        return copy.deepcopy(SMALLEST.get(node["title"], required)) if "title" in node else required
    if node["type"] == "array":
        return [fill(schema, node["items"]) for _ in range(node.get("minItems", 0))]
    return good(node)[0]


def good(node):
    """Return values that a leaf accepts: the borders first."""
    if "enum" in node or "const" in node:
        return node.get("enum") or [node["const"]]
    if node["type"] == "boolean":
        return [True, False]
    if node["type"] == "integer":
        low, high = node.get("minimum", -(2**31)), node.get("maximum", 2**31)
        return [low, high, (low + high) // 2]
    if node["type"] == "number":
        low, high = node.get("minimum", -1e300), node.get("maximum", 1e300)
        low = math.nextafter(node["exclusiveMinimum"], math.inf) if "exclusiveMinimum" in node else low
        high = math.nextafter(node["exclusiveMaximum"], -math.inf) if "exclusiveMaximum" in node else high
        return [low, high, (low + high) / 2]
    if "pattern" in node:
        return [*example(node)[0], *([0, 7] if INT_OR_STRING in node else [])]
    return ["é" * node["maxLength"], "x" * max(node.get("minLength", 0), 1), "\U0001f600" * node["maxLength"]]


def bad(node):
    """Return values that a leaf refuses."""
    wrong = list(WRONG_TYPES[node["type"]])
    if "enum" in node or "const" in node:
        return [*wrong, "", "unknown", good(node)[0].swapcase(), f"{good(node)[0]} "]
    if node["type"] in {"integer", "number"}:
        step = 1 if node["type"] == "integer" else 1e-9
        outside = [node["minimum"] - step] if "minimum" in node else []
        outside += [node["maximum"] + step * 10] if "maximum" in node else []
        return wrong + outside + [node[edge] for edge in ("exclusiveMinimum", "exclusiveMaximum") if edge in node]
    if node["type"] == "string":
        wrong += example(node)[1] if "pattern" in node else []
        wrong = [-1, *filter(is_no_int, wrong)] if INT_OR_STRING in node else wrong
        wrong += [""] if node.get("minLength", 0) > 0 else []
        wrong += ["x" * (node["maxLength"] + 1)]
    return wrong


def is_no_int(value):
    return isinstance(value, bool) or not isinstance(value, int)


def example(node):
    """Return the examples that fit the node's pattern: all that is good matches, nothing that is bad does."""
    pattern = re.compile(node["pattern"].replace("$", r"\Z"), re.ASCII)  # as Rust and RE2 read it, `$` is the very end
    fitting = [
        (fits, misfits)
        for fits, misfits in EXAMPLES.values()
        if all(map(pattern.search, fits)) and not any(map(pattern.search, misfits))
    ]
    assert fitting, f"write examples for the pattern {node['pattern']}"
    return fitting[0]


def mutations(schema, node, manifest, path):
    """Yield the manifest with the block at `path` set to its smallest form and one thing below it changed."""
    node = resolve(schema, node)
    yield from (
        with_value(manifest, path, value)
        for value in (None, *WRONG_TYPES.get(node["type"], ()))
        if path not in {("spec",), ("status",)}
    )
    if "properties" in node:
        yield from of_object(schema, node, with_value(manifest, path, fill(schema, node)).manifest, path)
    elif node["type"] == "array":
        yield from of_array(schema, node, manifest, path)
    elif node["type"] == "object":
        yield from (with_value(manifest, path, value) for value in ({}, {"a": 1}, {"a": None}))
    else:
        yield from (with_value(manifest, path, value) for value in [*good(node), *bad(node)])


def of_object(schema, node, manifest, path):
    yield with_value(manifest, (*path, "unknownField"), 1)
    yield with_value(manifest, (*path, "unknownField"), None)
    for name, field in node["properties"].items():
        yield from mutations(schema, field, manifest, (*path, name))
        snake = re.sub(r"([A-Z])", lambda letter: f"_{letter[0].lower()}", name)
        if snake != name:
            yield with_value(
                manifest,
                (*path, snake),
                good(leaf)[0] if (leaf := resolve(schema, field))["type"] not in {"array", "object"} else {},
            )
    for name in node.get("required", ()):
        yield without(manifest, (*path, name))


def of_array(schema, node, manifest, path):
    item = fill(schema, node["items"])
    least = max(node.get("minItems", 0), 1)
    for length in {0, node.get("minItems", 0), node["maxItems"], node["maxItems"] + 1}:
        yield with_value(manifest, path, unlike([item] * length))
    yield with_value(manifest, path, [None] * least)
    whole = with_value(manifest, path, unlike([item] * least)).manifest
    yield from mutations(schema, node["items"], whole, (*path, 0))


def unlike(items):
    """Give conditions, which are merged by type, different types."""
    return [
        item | {"type": f"T{number}"} if isinstance(item, dict) and "lastTransitionTime" in item else item
        for number, item in enumerate(items)
    ]


def with_value(manifest, path, value):
    changed = copy.deepcopy(manifest)
    *above, last = path
    inner = changed
    for key in above:
        inner = inner[key]
    inner[last] = value
    return Case(f"{path_text(path)} = {str(value)[:60]!r}", changed)


def without(manifest, path):
    changed = with_value(manifest, path, None).manifest
    *above, last = path
    inner = changed
    for key in above:
        inner = inner[key]
    del inner[last]
    return Case(f"without {path_text(path)}", changed)


def path_text(path):
    return ".".join(map(str, path))


def random_value(chance, schema, node):
    """Return a value from a seeded `random.Random`: optional fields there or not, leaves good but for one in a hundred."""
    node = resolve(schema, node)
    if "properties" in node:
        required = node.get("required", ())
        return {
            name: random_value(chance, schema, field)
            for name, field in node["properties"].items()
            if name in required or chance.random() < _OPTIONAL
        }
    if node["type"] == "object":
        values = node["additionalProperties"]
        return chance.choice([{}, {"a": 1 if values is True else good(values)[0]}])
    if node["type"] == "array":
        least = node.get("minItems", 0)
        return [
            random_value(chance, schema, node["items"])
            for _ in range(chance.randint(least, min(node["maxItems"], least + 1)))
        ]
    return chance.choice(good(node) if chance.random() < 0.99 else bad(node))
