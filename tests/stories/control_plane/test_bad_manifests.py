"""Every mistake of the bad-input matrix, sent to the real API server: by kubectl, and as a plain POST."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from functools import cache

import pytest
from bad_manifest import GONE, GOOD, JOB, By, put
from bad_manifests import BAD_MANIFESTS
from cluster_tier import fresh_namespace
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from waiting import until

from tuneloop_api.crd import generator as crd
from tuneloop_api.v1alpha1 import API_VERSION
from tuneloop_api.wire import text_formats
from tuneloop_api.wire.rules import EXAMPLE
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals
from tuneloop_operator.settings.operator import OperatorSettings

STRICT = {"fieldValidation": "Strict"}
REFUSED_HERE = [bad for bad in BAD_MANIFESTS if bad.by is not By.OPERATOR]
ONLY_BY_OPERATOR = [bad for bad in BAD_MANIFESTS if bad.by is By.OPERATOR]
ROWS = {f"B{number}" for number in range(1, 23)} - {"B8", "B19", "B20"}  # those three have tests of their own


def each_of(cases):
    return pytest.mark.parametrize("bad", cases, ids=lambda bad: f"{bad.row} {bad.path}={str(bad.value)[:24]!a}")


def test_every_row_has_five_examples():
    assert {row for row, count in Counter(bad.row for bad in BAD_MANIFESTS).items() if count >= 5} == ROWS


def test_every_text_format_is_broken_by_an_example():
    broken = {bad.says for bad in BAD_MANIFESTS}
    untried = [text_format for text_format in text_formats.TEXT_FORMATS.values() if text_format.message not in broken]
    assert untried == [text_formats.LAYER_NAME]  # test_contract_agreement breaks it


@each_of(REFUSED_HERE)
def test_a_post_is_refused_with_the_field_what_was_given_and_what_is_allowed(custom_resources, shared_namespace, bad):
    reply = post(custom_resources, shared_namespace, bad)
    assert reply.status in {400, 422}, reply.body
    causes = [
        cause["message"] for cause in reply.body.get("details", {}).get("causes", ()) if bad.field in cause["field"]
    ]
    message = " ".join([reply.body["message"], *causes])
    assert bad.field in message
    assert bad.says in message
    assert given(bad).strip('"') in message
    in_our_words = any(words in message for words in words_of_rules(bad.kind))
    assert bad.by is By.SERVER or in_our_words == (bad.by is By.RULE), message


@pytest.fixture(scope="module")
def kubectl_says(custom_resources, shared_namespace, tmp_path_factory):
    """What kubectl says of each manifest that it refuses. One call tries all: to start kubectl takes longer than an answer."""
    folder, texts = tmp_path_factory.mktemp("refused"), [bad.text for bad in REFUSED_HERE]
    for number, text in enumerate(texts):
        (folder / f"{number}.json").write_text(text)
    tried = custom_resources.kubectl("create", "-n", shared_namespace, "--dry-run=server", "-f", str(folder))
    assert tried.returncode == 1, tried.stdout
    found = re.split(rf"{folder}/(\d+)\.json", tried.stderr)
    messages = dict(zip(map(int, found[1::2]), found[2::2], strict=True))
    return {text: messages[number] for number, text in enumerate(texts) if number in messages}


@each_of(REFUSED_HERE)
def test_kubectl_says_the_same(kubectl_says, bad):
    message = kubectl_says.get(bad.text, "it is taken")
    assert bad.field.removeprefix("metadata.") in message
    assert bad.says in message


@each_of(ONLY_BY_OPERATOR)
def test_what_the_server_takes_the_operator_refuses_with_the_same_four_things(custom_resources, shared_namespace, bad):
    reply = post(custom_resources, shared_namespace, bad, dryRun="All")
    assert reply.status == 201, reply.body
    stored = bad.kind.from_wire(reply.body)
    judge = job_refusals if bad.kind is JOB else deployment_refusals
    (refusal,) = judge(stored.spec, OperatorSettings())
    assert refusal.field == bad.field
    assert bad.says in str(refusal)
    start = f"{bad.field}: found {refusal.given}; {refusal.allowed}; for example {refusal.example}"
    assert str(refusal).startswith(start)


@each_of([bad for bad in REFUSED_HERE if bad.by is By.STRICT])
def test_a_field_that_there_is_not_is_never_stored(custom_resources, namespace, bad):
    reply = custom_resources.request("POST", collection(bad.kind, namespace), bad.text, {"fieldValidation": "Ignore"})
    assert reply.status == 201, reply.body
    without = bad.manifest
    put(without, bad.path, GONE)
    assert reply.body["spec"] == without["spec"]


def test_patterns_that_are_broken_get_one_line_each(custom_resources, shared_namespace):
    several = {
        "spec.model.uri": "roberta",
        "spec.data.train[0].uri": "rows.csv",
        "spec.resources.memory": "lots",
        "spec.image": "A",
    }
    body = manifest(JOB, "several")
    for path, value in several.items():
        put(body, path, value)
    applied = custom_resources.kubectl("apply", "-n", shared_namespace, "-f", "-", stdin=json.dumps(body))
    lines = applied.stderr.splitlines()
    assert [sum(line.startswith(f"* {path}: Invalid value: ") for line in lines) for path in several] == [1, 1, 1, 1]
    assert sum("; for example " in line for line in lines) == 4, applied.stderr


TEXTS = [
    "$(rm -rf /)", "`id`; drop table", "{{ .Values.a }} %s %n", "a\"b'c\\d", "\u202eevil\u200b \U0001f600", "caf\u00e9", "-rf", "null",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_free_text_is_stored_as_it_is_and_comes_out_of_the_operator_as_it_is(custom_resources, namespace, text):
    body = manifest(JOB, "free")
    put(body, "spec.data.train[0].columns", {"text": text, "label": f"label of {text}"})
    put(body, "spec.model.labels", [text, "other"])
    reply = custom_resources.request("POST", collection(JOB, namespace), json.dumps(body), STRICT)
    assert reply.status == 201, reply.body
    assert reply.body["spec"] == body["spec"]
    assert JOB.from_wire(reply.body).to_wire()["spec"] == body["spec"]


NOT_YAML = {
    "a key twice": ("metadata: {name: a, name: b}\n", 'key "name" already set in map'),
    "a tab": ("metadata:\n\tname: a\n", "cannot start any token"),
    "an open list": ("metadata: {name: a\n", "did not find expected"),
    "an alias of nothing": ("metadata: *gone\n", "unknown anchor 'gone' referenced"),
    "a list": ("- a\n", "cannot unmarshal array"),
    "aliases of aliases": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 8)),
        "document contains excessive aliasing",
    ),
}


@pytest.mark.parametrize(("text", "says"), NOT_YAML.values(), ids=NOT_YAML)
def test_yaml_that_is_none_is_refused(custom_resources, shared_namespace, text, says):
    whole = f"apiVersion: {API_VERSION}\nkind: FineTuneJob\n" * (not text.startswith("-")) + text
    reply = custom_resources.request("POST", collection(JOB, shared_namespace), whole, STRICT, "application/yaml")
    assert reply.status in {400, 422}, reply.body
    assert says in reply.body["message"]


def test_a_request_of_four_mib_is_refused_with_the_limit(custom_resources, shared_namespace):
    body = manifest(JOB, "huge") | {"metadata": {"name": "huge", "annotations": {"a": "x" * 4 * 2**20}}}
    reply = custom_resources.request("POST", collection(JOB, shared_namespace), body, STRICT)
    assert reply.status == 413
    assert "limit is 3145728" in reply.body["message"]


def start(plane, namespace, body):
    """Create a job and write what the operator writes when its first stage begins."""
    created = plane.request("POST", collection(JOB, namespace), body, STRICT)
    assert created.status == 201, created.body
    status = {"status": {"startTime": "2026-01-01T00:00:00Z", "phase": "Preparing"}}
    assert patch(plane, namespace, body, status, "/status").status == 200


def patch(plane, namespace, body, change, subresource=""):
    path = f"{collection(JOB, namespace)}/{body['metadata']['name']}{subresource}"
    return plane.request("PATCH", path, change, STRICT, "application/merge-patch+json")


BYPASSES = {
    "change": [{"model": {"uri": "hf://a/b"}}],
    "set what was not set": [{"training": {"epochs": 1}}],
    "set an empty block": [{"training": {}}],
    "take away": [{"storage": None}],
    "take away, then set to another": [{"storage": None}, {"storage": {"claim": "other"}}],
    "deep inside a list": [{"data": {"train": [{"uri": "pvc://models/reviews.csv", "limit": 1}]}}],
    "beside what may change": [{"suspend": True, "image": "trainer:2"}],
}


@pytest.mark.parametrize("changes", BYPASSES.values(), ids=BYPASSES)
def test_a_started_job_is_frozen_however_it_is_tried(custom_resources, namespace, changes):
    body = manifest(JOB, "frozen")
    start(custom_resources, namespace, body)
    for change in changes:
        refused = patch(custom_resources, namespace, body, {"spec": change})
        assert refused.status == 422, refused.body
        (cause,) = refused.body["details"]["causes"]
        assert (cause["reason"], cause["field"].split(".")[0]) == ("FieldValueForbidden", "spec")
        assert (
            "is frozen once the job has started (status.startTime is set): create a new job to change it"
            in cause["message"]
        )
    assert custom_resources.request("GET", f"{collection(JOB, namespace)}/frozen").body["spec"] == body["spec"]


def test_the_status_door_leaves_the_spec_alone(custom_resources, namespace):
    body = manifest(JOB, "status-door")
    start(custom_resources, namespace, body)
    change = {"spec": {"image": "trainer:2"}, "status": {"phase": "Running"}}
    written = patch(custom_resources, namespace, body, change, "/status")
    assert (written.status, written.body["spec"], written.body["status"]["phase"]) == (200, body["spec"], "Running")


def test_the_spec_door_cannot_thaw_a_job(custom_resources, namespace):
    body = manifest(JOB, "thaw")
    start(custom_resources, namespace, body)
    stored = custom_resources.request("GET", f"{collection(JOB, namespace)}/thaw").body
    thawed = {key: value for key, value in stored.items() if key != "status"} | {
        "spec": stored["spec"] | {"image": "trainer:2"}
    }
    replaced = custom_resources.request("PUT", f"{collection(JOB, namespace)}/thaw", thawed, STRICT)
    assert (replaced.status, replaced.body["details"]["causes"][0]["field"]) == (422, "spec.image")


def test_a_job_that_is_made_again_under_the_name_begins_again(custom_resources, namespace):
    body = manifest(JOB, "again")
    start(custom_resources, namespace, body)
    path = f"{collection(JOB, namespace)}/again"
    first = custom_resources.request("GET", path).body["metadata"]["uid"]
    assert custom_resources.request("DELETE", path).status == 200
    again = copy.deepcopy(body) | {"status": {"startTime": "2026-01-01T00:00:00Z"}}
    put(again, "spec.image", "trainer:2")
    created = custom_resources.request("POST", collection(JOB, namespace), again, STRICT)
    assert created.status == 201
    assert created.body["metadata"]["uid"] != first
    assert created.body["status"] == {"observedGeneration": -1}


def test_the_operator_says_what_it_refuses_in_the_condition_accepted_and_takes_the_mended_job(
    custom_resources, tmp_path
):
    with fresh_namespace(custom_resources) as name:
        client = NamespaceClient(custom_resources, name)
        with RunningOperator(custom_resources, tmp_path, namespaces=name, pod_namespace=name) as operator:
            operator.wait_ready().wait_leading()
            client.submit("alike", model={"uri": "hf://a/b", "labels": ["a", "b", "a"]})
            client.submit("local", model={"uri": "file:///m"})
            client.submit("no-claim", storage={})
            for job, field in {
                "alike": "spec.model.labels[2]",
                "local": "spec.model.uri",
                "no-claim": "spec.storage.claim",
            }.items():
                accepted = until(
                    lambda job=job: client.condition(job, "Accepted"), seconds=20, what=f"Accepted of {job}"
                )
                assert (accepted["status"], accepted["message"].split(":")[0]) == ("False", field)
                assert "; for example " in accepted["message"]
            assert not client.all("Job")
            client.patch("FineTuneJob", "alike", {"spec": {"model": {"labels": ["a", "b"]}}})
            client.stored("Job", "alike-prepare")
            assert client.condition("alike", "Accepted")["status"] == "True"
            assert not [line for line in operator.log_lines if line.get("level") in {"error", "ERROR"}], operator.log
        client.close()


def manifest(kind, name):
    return {
        "apiVersion": API_VERSION,
        "kind": kind.__name__,
        "metadata": {"name": name},
        "spec": copy.deepcopy(GOOD[kind]),
    }


def collection(kind, namespace):
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{kind.__name__.lower()}s"


def post(plane, namespace, bad, **query):
    return plane.request("POST", collection(bad.kind, namespace), bad.text, STRICT | query)


def given(bad):
    """Return how the server repeats what was given: the value, but for a wrong type and for what nobody could read only the type or its name.

    Of a field that does not belong there the server repeats the name alone.
    """
    if bad.says.startswith("applies only"):
        return ""
    if bad.by is not By.RULE or not isinstance(bad.value, str | int) or not str(bad.value).isascii():
        return ""
    return json.dumps(bad.value).strip('"') if str(bad.value).isprintable() else ""


@cache
def words_of_rules(kind):
    """Return what every CEL rule of a kind says, up to its example."""
    (resource,) = [resource for resource in crd.RESOURCES if resource.model is kind]
    return {rule["message"].partition(EXAMPLE)[0] for rule in rules_in(crd.root_schema(resource))}


def rules_in(node):
    if isinstance(node, dict):
        yield from node.get("x-kubernetes-validations", ())
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from rules_in(child)
