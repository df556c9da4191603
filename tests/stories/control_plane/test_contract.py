"""The custom resources on the real API server: what is stored, what is refused, and how kubectl shows it."""

from __future__ import annotations

import pytest
import yaml
from custom_objects import (
    SMALLEST,
    apply,
    collection,
    create,
    manifest,
    request_patch,
    resource,
)

from tuneloop_api.crd import generator as crd
from tuneloop_api.v1alpha1 import API_VERSION, FineTuneJob, ModelDeployment

NOT_OBSERVED = {"observedGeneration": -1}
EACH_KIND = pytest.mark.parametrize("kind", SMALLEST, ids=lambda kind: kind.__name__)


@EACH_KIND
def test_the_spec_is_stored_as_it_was_sent_without_defaults(custom_resources, namespace, kind):
    assert create(custom_resources, namespace, kind)["spec"] == SMALLEST[kind]


@EACH_KIND
def test_the_status_of_a_new_object_says_that_nobody_has_observed_it(custom_resources, namespace, kind):
    assert create(custom_resources, namespace, kind)["status"] == NOT_OBSERVED
    assert custom_resources.request("GET", f"{collection(kind, namespace)}/a").body["status"] == NOT_OBSERVED


@EACH_KIND
@pytest.mark.parametrize(("given", "read"), [("2", "2"), ('"2"', "2"), ("500m", "500m")])
def test_a_quantity_is_stored_as_it_was_sent_and_read_as_text(custom_resources, namespace, kind, given, read):
    sent = yaml.safe_load(f"{{cpu: {given}, extended: {{rdma/hca: 1}}}}")
    applied = apply(custom_resources, namespace, manifest(kind, spec=SMALLEST[kind] | {"resources": sent}))
    assert applied.returncode == 0, applied.stderr
    path = f"{collection(kind, namespace)}/{manifest(kind)['metadata']['name']}"
    stored = custom_resources.request("GET", path).body
    assert stored["spec"]["resources"] == sent
    resources = kind.from_wire(stored).spec.resources
    assert (resources.cpu, resources.extended) == (read, {"rdma/hca": "1"})


@EACH_KIND
def test_every_enum_value_stays_text_in_a_manifest_without_quotes(custom_resources, namespace, kind):
    head = f"apiVersion: {API_VERSION}\nkind: {kind.__name__}\nmetadata: {{name: a}}\nspec: "
    for path, node in enums(crd.root_schema(resource(kind))["properties"]["spec"]):
        manifests = "\n---\n".join(head + inside(path, value) for value in node["enum"])
        applied = custom_resources.kubectl("create", "-n", namespace, "--dry-run=server", "-f", "-", stdin=manifests)
        assert f"spec.{'.'.join(path)}" not in applied.stderr, applied.stderr
        tried = applied.stdout.count("server dry run") + applied.stderr.count("is invalid")
        assert tried == len(node["enum"]), applied


@pytest.mark.parametrize(("kind", "longest"), [(FineTuneJob, 48), (ModelDeployment, 36)])
def test_a_name_leaves_room_for_the_names_of_its_children(custom_resources, namespace, kind, longest):
    create(custom_resources, namespace, kind, name="a" * longest)
    applied = apply(custom_resources, namespace, manifest(kind, name="a" * (longest + 1)))
    assert (
        f"metadata.name: Invalid value: must be a DNS label of at most {longest} characters"
        in applied.stderr.replace('"object": ', "")
    )


def test_an_unknown_field_is_refused_and_named(custom_resources, namespace):
    applied = apply(
        custom_resources,
        namespace,
        manifest(FineTuneJob, spec=SMALLEST[FineTuneJob] | {"training": {"learningrate": 1}}),
    )
    assert applied.returncode == 1
    assert 'unknown field "spec.training.learningrate"' in applied.stderr


def test_a_manifest_with_several_mistakes_gets_one_line_for_each(custom_resources, namespace):
    spec = {
        "model": {"uri": 1},
        "task": "classification",
        "data": {"train": [{"uri": "pvc://models/reviews.csv", "limit": 0}]},
        "training": {"learningRate": "2e-4", "epochs": -1},
    }
    applied = apply(custom_resources, namespace, manifest(FineTuneJob, name="reviews", spec=spec))
    assert applied.returncode == 1
    lines = applied.stderr.splitlines()
    assert lines[0] == 'The FineTuneJob "reviews" is invalid: '
    for field, found in {
        "spec.model.uri": "must be of type string",
        "spec.task": 'supported values: "text-classification"',
        "spec.data.train[0].limit": "should be greater than or equal to 1",
        "spec.training.learningRate": "must be of type number",
        "spec.training.epochs": "should be greater than 0",
    }.items():
        (line,) = [line for line in lines if line.startswith(f"* {field}: ")]
        assert found in line


def test_the_status_is_written_apart_from_the_spec(custom_resources, namespace):
    create(custom_resources, namespace, FineTuneJob)
    body = {"spec": {"suspend": True}, "status": {"phase": "Running"}}
    assert request_patch(custom_resources, namespace, body).body["status"] == NOT_OBSERVED
    written = request_patch(
        custom_resources, namespace, {"spec": {"suspend": False}, "status": {"phase": "Running"}}, subresource="/status"
    )
    assert (written.body["status"], written.body["spec"]["suspend"]) == (NOT_OBSERVED | {"phase": "Running"}, True)


def test_conditions_of_two_writers_stand_beside_each_other(custom_resources, namespace):
    create(custom_resources, namespace, FineTuneJob)
    for writer, condition in (("one", "Accepted"), ("two", "Complete")):
        conditions = [
            {"type": condition, "status": "True", "reason": "Tested", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ]
        body = {
            "apiVersion": API_VERSION,
            "kind": "FineTuneJob",
            "metadata": {"name": "a"},
            "status": {"conditions": conditions},
        }
        path = f"{collection(FineTuneJob, namespace)}/a/status"
        applied = custom_resources.request(
            "PATCH", path, body, {"fieldManager": writer}, "application/apply-patch+yaml"
        )
        assert applied.status == 200, applied.body
    assert [condition["type"] for condition in applied.body["status"]["conditions"]] == ["Accepted", "Complete"]


def test_kubectl_get_shows_the_columns(custom_resources, namespace):
    create(custom_resources, namespace, FineTuneJob, name="reviews")
    ready = {"type": "PodsReady", "status": "True", "reason": "AllReady", "lastTransitionTime": "2026-01-01T12:00:00Z"}
    status = {
        "phase": "Running",
        "conditions": [ready | {"type": "Accepted", "reason": "Accepted"}, ready],
        "workers": "2/2",
        "restarts": {"total": 1},
        "progress": {"percent": "45%", "step": 9, "loss": 0.25, "eta": "12m"},
    }
    written = request_patch(custom_resources, namespace, {"status": status}, name="reviews", subresource="/status")
    assert written.status == 200, written.body
    header, row = custom_resources.kubectl("get", "ftj", "-n", namespace).stdout.splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "STEP", "LOSS", "ETA", "WORKERS", "PODS", "RESTARTS", "AGE"]
    assert row.split()[:-1] == ["reviews", "Running", "45%", "9", "0.25", "12m", "2/2", "AllReady", "1"]
    wide = custom_resources.kubectl("get", "tuneloop", "-n", namespace, "-o", "wide").stdout
    assert wide.splitlines()[0].split()[-3:] == ["FAILURE", "ARTIFACT", "TRIAL"]
    header = custom_resources.kubectl("get", "mdep", "-n", namespace, "--ignore-not-found", "-o", "wide")
    assert header.returncode == 0


def test_kubectl_explain_reads_like_documentation(custom_resources):
    explained = custom_resources.kubectl("explain", "ftj.spec.training.learningRate")
    assert explained.returncode == 0, explained.stderr
    assert "FIELD: learningRate <number>" in explained.stdout
    explanation = " ".join(explained.stdout.split())
    assert "Default: by method and model, as shown in `status.resolved`. For example `2e-4`." in explanation
    assert "-required-" in custom_resources.kubectl("explain", "mdep.spec").stdout


def enums(schema, path=()):
    if "enum" in schema:
        yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from enums(below, (*path, name))


def inside(path, value):
    """Return YAML in flow style with a value below a path, as it stands: `{training: {precision: fp32}}`."""
    for name in reversed(path):
        value = f"{{{name}: {value}}}"
    return value
