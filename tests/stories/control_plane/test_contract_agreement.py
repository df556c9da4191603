"""The models and the API server accept and refuse the same manifests, and blame the same fields.

The manifests come from the models' own JSON Schema: every field at the borders of what it allows, and every field broken in every way
that fits its type, one at a time; then random ones with several blocks at once.
"""

from __future__ import annotations

import json
import re
from random import Random

import pytest
from manifest_cases import Case, mutations, random_value, smallest
from pydantic import ValidationError

from tuneloop_api.v1alpha1 import API_VERSION, FineTuneJob, ModelDeployment
from tuneloop_api.v1alpha1.common import MOST_ANNOTATION_BYTES

KINDS = (FineTuneJob, ModelDeployment)
EACH_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
STRICT = {"dryRun": "All", "fieldValidation": "Strict"}


@EACH_KIND
def test_each_field_of_the_spec_alone(custom_resources, shared_namespace, kind):
    schema = kind.model_json_schema(by_alias=True)
    manifest = smallest(kind)
    cases = [Case("smallest", manifest), *mutations(schema, schema["properties"]["spec"], manifest, ("spec",))]
    check(
        cases,
        model=kind,
        ask=lambda body: create(custom_resources, shared_namespace, kind, body),
        at_least=100 if kind is ModelDeployment else 400,
    )


@EACH_KIND
def test_each_field_of_the_status_alone(custom_resources, namespace, kind):
    schema = kind.model_json_schema(by_alias=True)
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{plural(kind)}"
    stored = custom_resources.request("POST", path, smallest(kind)).body

    def write_status(text):
        body = json.loads(text)
        body["metadata"] = stored["metadata"]
        return custom_resources.request("PUT", f"{path}/{stored['metadata']['name']}/status", body, STRICT)

    optional = next(option for option in schema["properties"]["status"]["anyOf"] if "$ref" in option)
    cases = list(mutations(schema, optional, smallest(kind) | {"status": {}}, ("status",)))
    # a status is a message: the operator that reads it may be older than the one that wrote it
    check(cases, model=kind, ask=write_status, at_least=100, readable=("unknown field", "Unsupported value"))


@pytest.mark.parametrize("count", [400, pytest.param(1000, marks=pytest.mark.full)])
@EACH_KIND
def test_several_fields_at_once(custom_resources, shared_namespace, kind, count):
    schema = kind.model_json_schema(by_alias=True)
    manifest = smallest(kind)
    chance = Random(1)
    statuses = []
    for _ in range(count):
        body = json.dumps(manifest | {"spec": random_value(chance, schema, schema["properties"]["spec"])})
        errors = refusals(kind, json.loads(body))
        reply = create(custom_resources, shared_namespace, kind, body)
        statuses.append(reply.status)
        assert (reply.status == 201) == (not errors), (body, errors, reply.body.get("message"))
    assert min(statuses.count(201), statuses.count(422)) >= count // 20, (
        "too few accepted or too few refused to compare"
    )


NUMBERS = {
    "1.0": True, "1e3": True, "1E+2": True, "10e-1": True, "-0": False, "0.0": False, "1.5": False, "1e20": False, "123456789012345678901234567890": False,
    "1e400": False, "-1": False, '"1"': False, "true": False, "null": True, "9223372036854775808": False, "2147483647.0": True, "2147483648": False,
}  # fmt: skip


@pytest.mark.parametrize(("text", "accepted"), NUMBERS.items(), ids=NUMBERS)
def test_an_integer_however_it_is_written(custom_resources, shared_namespace, text, accepted):
    body = json.dumps(
        smallest(FineTuneJob) | {"spec": smallest(FineTuneJob)["spec"] | {"training": {"maxSteps": "HERE"}}}
    ).replace('"HERE"', text)
    reply = create(custom_resources, shared_namespace, FineTuneJob, body)
    assert (reply.status == 201, not refusals(FineTuneJob, json.loads(body))) == (accepted, accepted), reply.body


QUANTITIES = {
    "2": True, '"2"': True, '"0.5"': True, "0": True, "9223372036854775807": True, "null": True, "-1": False, "0.5": False, "1.5e-3": False, "true": False, "[2]": False, '""': False,
    '"-1"': False, "9223372036854775808": False,
}  # fmt: skip


@EACH_KIND
@pytest.mark.parametrize(("text", "accepted"), QUANTITIES.items(), ids=QUANTITIES)
def test_a_quantity_however_it_is_written(custom_resources, shared_namespace, kind, text, accepted):
    body = json.dumps(
        smallest(kind) | {"spec": smallest(kind)["spec"] | {"resources": {"cpu": "HERE", "requests": {"cpu": "HERE"}}}}
    ).replace('"HERE"', text)
    reply = create(custom_resources, shared_namespace, kind, body)
    assert (reply.status == 201, not refusals(kind, json.loads(body))) == (accepted, accepted), reply.body


DECIMALS = {
    "1": True, "1e-4": True, "0.5": True, "0": False, "-0.0": False, "1e-400": False, "5e-324": True, "1e400": False, "10.0000000000000001": True,
    "10.000000000000002": False, "1" + "0" * 400: False, '"2e-4"': False, "false": False,
}  # fmt: skip


@pytest.mark.parametrize(("text", "accepted"), DECIMALS.items(), ids=lambda value: str(value)[:24])
def test_a_decimal_however_it_is_written(custom_resources, shared_namespace, text, accepted):
    body = json.dumps(
        smallest(FineTuneJob) | {"spec": smallest(FineTuneJob)["spec"] | {"training": {"learningRate": "HERE"}}}
    ).replace('"HERE"', text)
    reply = create(custom_resources, shared_namespace, FineTuneJob, body)
    assert (reply.status == 201, not refusals(FineTuneJob, json.loads(body))) == (accepted, accepted), reply.body


@EACH_KIND
@pytest.mark.parametrize(
    "name", ["a", "a" * 36, "a" * 37, "a" * 48, "a" * 49, "a-0", "0a", "a-", "-a", "A", "a.b", "a_b", "ä", "a\n", ""]
)
def test_names(custom_resources, shared_namespace, kind, name):
    manifest = smallest(kind) | {"metadata": {"name": name}}
    reply = create(custom_resources, shared_namespace, kind, json.dumps(manifest))
    assert (reply.status == 201) == (not refusals(kind, manifest)), reply.body


METADATA = [
    {"label": {"a": "b"}}, {"Labels": {}}, {"labels": None}, {"labels": {}}, {"labels": []}, {"labels": "a"}, {"annotations": {}}, {"finalizers": []}, {"finalizers": "a"},
    {"labels": {"a": "b", "example.com/a_b.c-d": ""}}, {"labels": {"a": True}}, {"labels": {"a": 1}}, {"labels": {"a": "b c"}}, {"labels": {"a": "-"}}, {"labels": {"a": {}}},
    {"labels": {"a": "x" * 63}}, {"labels": {"a": "x" * 64}}, {"labels": {"x" * 63: "a"}}, {"labels": {"x" * 64: "a"}}, {"labels": {"a b": "c"}}, {"labels": {"": "c"}}, {"labels": {"/a": "c"}},
    {"labels": {"a/b/c": "c"}}, {"labels": {"A.b/c": "c"}}, {"annotations": {"a": "any text, é\n"}}, {"annotations": {"a": 1}}, {"annotations": {"a": True}}, {"annotations": {"a b": "c"}},
    {"generateName": "b-"}, {"unknown": None}, {"ownerReferences": []}, {"ownerReferences": {}}, {"generation": 3}, {"labels": {"a": None}}, {"annotations": {"a": None}}, {"annotations": {"A/b": "c"}},
    {"annotations": {"a": "x" * (MOST_ANNOTATION_BYTES - 1)}}, {"annotations": {"a": "x" * MOST_ANNOTATION_BYTES}}, {"annotations": {"a": "\u00e9" * (MOST_ANNOTATION_BYTES // 2)}},
]  # fmt: skip


@pytest.mark.parametrize("metadata", METADATA, ids=lambda value: json.dumps(value)[:60])
def test_metadata(custom_resources, shared_namespace, metadata):
    manifest = smallest(FineTuneJob)
    manifest["metadata"] |= metadata
    reply = create(custom_resources, shared_namespace, FineTuneJob, json.dumps(manifest))
    assert (reply.status == 201) == (not refusals(FineTuneJob, manifest)), (reply.body, refusals(FineTuneJob, manifest))


def check(cases, *, model, ask, at_least, readable=()):
    """Compare the two answers to each case, and where both refuse, that the server names the field that the models name.

    Of cases that are the same manifest, the last is tried: values of a wrong type are wrong for a block and for what stands in it.
    readable: reasons of the server for which the models may accept what it refuses.
    """
    accepted, wrong = 0, []
    distinct = {json.dumps(case.manifest): case for case in cases}
    for body, case in distinct.items():
        errors, reply = refusals(model, json.loads(body)), ask(body)
        accepted += reply.status < 300
        if not errors and any(reason in reply.body.get("message", "") for reason in readable):
            continue
        if (reply.status < 300) != (not errors):
            wrong.append(
                f"{case.text}: models {errors or 'accept'}; server {reply.status} {reply.body.get('message', '')[:300]}"
            )
        elif errors and not any(path in reply.body["message"] for path in errors):
            wrong.append(f"{case.text}: the models blame {errors}; the server says {reply.body['message'][:300]}")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(distinct)} cases:", *wrong[:40]])
    assert min(accepted, len(distinct) - accepted) >= at_least / 3, (accepted, len(distinct))
    assert len(distinct) >= at_least


def refusals(model, manifest):
    """Return the models' errors by path, written as the API server writes paths."""
    try:
        model.from_wire(manifest)
    except ValidationError as error:
        return {
            re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, detail["loc"]))): detail["msg"] for detail in error.errors()
        }
    return {}


def create(plane, namespace, kind, body):
    return plane.request("POST", f"/apis/{API_VERSION}/namespaces/{namespace}/{plural(kind)}", body, STRICT)


def plural(kind):
    return f"{kind.__name__.lower()}s"
