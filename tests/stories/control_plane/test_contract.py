"""The spec rules of the custom resources, each on the real API server."""

from __future__ import annotations

import json

import pytest

from tuneloop_api.crd import generator as crd
from tuneloop_api.v1alpha1 import API_VERSION, FineTuneJob, ModelDeployment
from tuneloop_api.wire.text_formats import FORMS

STRICT = {"fieldValidation": "Strict"}
TRAIN = {"uri": "pvc://models/reviews.csv"}
SMALLEST = {
    FineTuneJob: {
        "model": {"uri": "hf://FacebookAI/roberta-base"},
        "task": "text-classification",
        "data": {"train": [TRAIN]},
    },
    ModelDeployment: {"model": {"fineTuneJobRef": {"name": "reviews"}}},
}
EACH_KIND = pytest.mark.parametrize("kind", SMALLEST, ids=lambda kind: kind.__name__)

# What breaks each rule, and where the error must be; every rule of the models has a line here.
BROKEN_RULES = [
    (FineTuneJob, {"data": {"train": [TRAIN], "split": {"stratify": True}}}, "spec.data.split.stratify: Forbidden: applies only to method: random"),
    (FineTuneJob, {"data": {"train": [TRAIN], "split": {"method": "random", "stratify": True, "groupBy": "user"}}}, "spec.data.split.stratify: Invalid value: cannot be combined with groupBy"),
    (FineTuneJob, {"data": {"train": [TRAIN], "split": {"validation": 0.9}}}, "spec.data.split.validation: Invalid value: validation and test must leave rows to train on"),
    (FineTuneJob, {"method": {"type": "full", "rank": 8}}, "spec.method.rank: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"type": "full", "alpha": 8}}, "spec.method.alpha: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"type": "full", "dropout": 0}}, "spec.method.dropout: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"type": "full", "targetModules": ["query"]}}, "spec.method.targetModules: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"training": {"evaluateEvery": {}}}, "spec.training.evaluateEvery: Invalid value: exactly one of steps and epochs must be given"),
    (FineTuneJob, {"training": {"evaluateEvery": {"steps": 1, "epochs": 1}}}, "spec.training.evaluateEvery: Invalid value: exactly one of steps and epochs must be given"),
    (FineTuneJob, {"training": {"epochs": 1, "maxSteps": 1}}, "spec.training.maxSteps: Forbidden: cannot be combined with epochs"),
    (FineTuneJob, {"training": {"warmupRatio": 0, "warmupSteps": 0}}, "spec.training.warmupSteps: Forbidden: cannot be combined with warmupRatio"),
    (FineTuneJob, {"training": {"microBatchSize": 5}}, "spec.training.microBatchSize: Invalid value: globalBatchSize (32 by default) must be a multiple of it"),
    *(
        (FineTuneJob, {"data": {"train": [TRAIN]} | {split: [TRAIN | {"labelRule": {"above": 0, "names": ["a", "a"]}}]}}, f"spec.data.{split}[0].labelRule.names: Invalid value: must be two different names")
        for split in ("train", "validation", "test")
    ),
    (FineTuneJob, {"failurePolicy": {"rules": [{"action": "Fail"}]}}, "spec.failurePolicy.rules[0]: Invalid value: exactly one of class and exitCodes must be given"),
    (FineTuneJob, {"failurePolicy": {"rules": [{"class": "Hang", "exitCodes": [1], "action": "Fail"}]}}, "spec.failurePolicy.rules[0]: Invalid value: exactly one of class and exitCodes must be given"),
    (FineTuneJob, {"failurePolicy": {"startDeadline": "0s"}}, "spec.failurePolicy.startDeadline: Invalid value: must be longer than 0s"),
    (FineTuneJob, {"failurePolicy": {"hangTimeout": "0m"}}, "spec.failurePolicy.hangTimeout: Invalid value: must be longer than 0s"),
    (FineTuneJob, {"scheduling": {"shrinkAfter": "5m"}}, "spec.scheduling.shrinkAfter: Forbidden: applies only to jobs with minNodes"),
    (FineTuneJob, {"scheduling": {"minNodes": 1, "shrinkAfter": "0s"}}, "spec.scheduling.shrinkAfter: Invalid value: must be longer than 0s"),
    (FineTuneJob, {"scheduling": {"minNodes": 2}}, "spec.scheduling.minNodes: Invalid value: must be at most resources.nodes"),
    (FineTuneJob, {"deepspeed": {"stage": 0, "offloadOptimizer": "cpu"}}, "spec.deepspeed.offloadOptimizer: Forbidden: cannot be cpu with stage: 0, which shares nothing out"),
    (FineTuneJob, {"checkpoint": {"every": "0m0s"}}, "spec.checkpoint.every: Invalid value: must be longer than 0s"),
    (ModelDeployment, {"lifecycle": {"startup": "0s"}}, "spec.lifecycle.startup: Invalid value: must be longer than 0s"),
    (FineTuneJob, {"checkpoint": {"every": "5m", "everySteps": 5}}, "spec.checkpoint.everySteps: Forbidden: cannot be combined with every"),
    (FineTuneJob, {"checkpoint": {"resume": "never", "resumeFrom": "pvc://models/jobs/old-1a2b3c4d"}}, "spec.checkpoint.resumeFrom: Forbidden: applies only to resume: auto"),
    (FineTuneJob, {"model": {"uri": "pvc://models/bert", "revision": "main"}}, "spec.model.revision: Forbidden: applies only to hf:// models"),
    (FineTuneJob, {"data": {"train": [TRAIN], "validation": [TRAIN], "test": [TRAIN], "split": {}}}, "spec.data.split: Forbidden: applies only where rows are divided"),
    (FineTuneJob, {"data": {"train": [TRAIN], "validation": [TRAIN], "split": {"validation": 0.1}}}, "spec.data.split.validation: Forbidden: cannot be combined with data.validation, which gives these rows"),
    (FineTuneJob, {"data": {"train": [TRAIN], "test": [TRAIN], "split": {"test": 0.1}}}, "spec.data.split.test: Forbidden: cannot be combined with data.test, which gives these rows"),
    (FineTuneJob, {"training": {"maxSteps": 10, "warmupSteps": 11}}, "spec.training.warmupSteps: Invalid value: must be at most maxSteps, the length of the whole run"),
    (FineTuneJob, {"resources": {"processesPerNode": 2}}, "spec.resources.processesPerNode: Invalid value: must be at most gpusPerNode"),
    (FineTuneJob, {"method": {"type": "full"}, "output": {"mergeAdapter": False}}, "spec.output.mergeAdapter: Forbidden: applies only to method.type: lora"),
    (FineTuneJob, {"method": {"type": "bitfit"}, "output": {"mergeAdapter": True}}, "spec.output.mergeAdapter: Forbidden: applies only to method.type: lora"),
    (FineTuneJob, {"method": {"type": "bitfit", "rank": 8}}, "spec.method.rank: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"taskOptions": {"tagScheme": "iob2"}}, "spec.taskOptions.tagScheme: Forbidden: applies only to task: token-classification"),
    (FineTuneJob, {"training": {"bestMetric": "span_f1"}}, "spec.training.bestMetric: Forbidden: must be a metric of the task"),
    (FineTuneJob, {"training": {"earlyStopping": {"metric": "span_recall"}}}, "spec.training.earlyStopping.metric: Forbidden: must be a metric of the task"),
    (FineTuneJob, {"task": "token-classification", "training": {"bestMetric": "mcc"}}, "spec.training.bestMetric: Forbidden: must be a metric of the task"),
    (ModelDeployment, {"model": {}}, "spec.model: Invalid value: exactly one of fineTuneJobRef and uri must be given"),
    (ModelDeployment, {"model": {"uri": "pvc://a/b", "fineTuneJobRef": {"name": "a"}}}, "spec.model: Invalid value: exactly one of fineTuneJobRef and uri must be given"),
    (ModelDeployment, {"model": {"fineTuneJobRef": {"name": "a"}, "digest": "sha256:" + 64 * "0"}}, "spec.model.digest: Forbidden: applies only to uri"),
]  # fmt: skip

# For each field of a FineTuneJob that is frozen once it has started: two values.
FROZEN = {
    "task": ("token-classification", "text-classification"),
    "model": ({"uri": "hf://google-bert/bert-base-uncased"}, {"uri": "pvc://models/bert"}),
    "data": ({"train": [{"uri": "pvc://models/other.csv"}]}, {"train": [TRAIN, TRAIN]}),
    "method": ({"type": "lora"}, {"type": "full"}),
    "training": ({"epochs": 1}, {"epochs": 1.5}),
    "evaluation": ({"baselines": False}, {"baselines": True}),
    "deepspeed": ({"stage": 0}, {"stage": 1}),
    "resources": ({"gpusPerNode": 0}, {"gpusPerNode": 1}),
    "image": ("trainer:1", "trainer:2"),
    "storage": ({"claim": "models"}, {"claim": "other"}),
    "checkpoint": ({"keepLast": 1}, {"keepLast": 2}),
    "output": ({"checkpoint": "best"}, {"checkpoint": "last"}),
    "cleanup": ({"checkpoints": "KeepAll"}, {"checkpoints": "Delete"}),
    "preflight": ({"dryRun": False}, {"dryRun": True}),
    "budget": ({"maxGpuHours": 1}, {"maxGpuHours": 2}),
    "failurePolicy.rules": ([{"class": "Hang", "action": "Fail"}], [{"class": "Hang", "action": "Restart"}]),
    "failurePolicy.startDeadline": ("5m", "6m"),
    "failurePolicy.hangTimeout": ("5m", "6m"),
    "scheduling.queueName": ("a", "b"),
    "scheduling.avoidBadNodes": (True, False),
}
WITH_OTHERS = {"scheduling.minNodes", "scheduling.shrinkAfter", "taskOptions"}  # whose values other fields bound
MUTABLE = {
    "suspend": True,
    "activeDeadlineSeconds": 1,
    "ttlSecondsAfterFinished": 1,
    "scheduling": {"priorityClassName": "low"},
    "failurePolicy": {"maxRestarts": 1, "maxTotalRestarts": 2, "maxDisruptions": 3},
}


def nested(path: str, value: object) -> dict[str, object]:
    """Return the block that has this value at a dotted path."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


@EACH_KIND
def test_what_is_stored_is_what_was_sent_without_defaults(custom_resources, namespace, kind):
    stored = create(custom_resources, namespace, kind)
    assert stored["spec"] == SMALLEST[kind]
    assert "status" not in stored


@EACH_KIND
def test_every_enum_value_stays_text_in_a_manifest_without_quotes(custom_resources, namespace, kind):
    for path, node in enums(crd.root_schema(resource(kind))["properties"]["spec"]):
        for value in node["enum"]:
            manifest = f"apiVersion: {API_VERSION}\nkind: {kind.__name__}\nmetadata: {{name: a}}\nspec: {inside(path, value)}\n"
            applied = custom_resources.kubectl("create", "-n", namespace, "--dry-run=server", "-f", "-", stdin=manifest)
            assert f"spec.{'.'.join(path)}" not in applied.stderr, (value, applied.stderr)


@pytest.mark.parametrize(("kind", "spec", "error"), BROKEN_RULES, ids=[case[2].split(":")[0] for case in BROKEN_RULES])
def test_a_broken_rule_names_the_wrong_field_and_what_is_allowed(custom_resources, namespace, kind, spec, error):
    applied = apply(custom_resources, namespace, manifest(kind, spec=SMALLEST[kind] | spec))
    assert applied.returncode == 1
    assert f"{error}" in applied.stderr.replace('"object": ', "")


def test_every_rule_of_the_models_has_a_manifest_that_breaks_it():
    tried = "\n".join(error for _, _, error in BROKEN_RULES)
    for kind in SMALLEST:
        for path, rule in rules(crd.root_schema(resource(kind))["properties"]["spec"]):
            if rule["message"] in {form.message for form in FORMS.values()}:
                continue  # tests/support/bad_manifests.py breaks these
            where = ".".join(("spec", *path)) + rule.get("fieldPath", "")
            assert any(
                f"{where}: {word}: {rule['message'].split(';')[0].split(' (')[0].split(':')[0]}" in tried
                for word in ("Forbidden", "Invalid value")
            ), (where, rule["message"])


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


def test_a_refused_spec_can_be_mended_before_the_job_has_started(custom_resources, namespace):
    create(custom_resources, namespace, FineTuneJob)
    for field, values in FROZEN.items():
        for value in values:
            assert patch(custom_resources, namespace, nested(field, value)).status == 200, (field, value)


def test_every_frozen_field_is_tried_below():
    frozen = {
        rule["fieldPath"].removeprefix(".spec.")
        for rule in crd.root_schema(resource(FineTuneJob))["x-kubernetes-validations"]
        if "oldSelf" in rule["rule"]
    }
    assert frozen == FROZEN.keys() | WITH_OTHERS


@pytest.mark.parametrize("field", FROZEN)
def test_a_started_job_refuses_to_change_add_or_drop_a_field(custom_resources, namespace, field):
    first, second = FROZEN[field]
    create(custom_resources, namespace, FineTuneJob, name="with", spec=SMALLEST[FineTuneJob] | nested(field, first))
    create(custom_resources, namespace, FineTuneJob, name="without")
    for name in ("with", "without"):
        start(custom_resources, namespace, name)
    tries = [("with", second), ("without", first)] + ([] if field in SMALLEST[FineTuneJob] else [("with", None)])
    for name, value in tries:
        refused = patch(custom_resources, namespace, nested(field, value), name=name)
        assert refused.status == 422, (name, value)
        (cause,) = refused.body["details"]["causes"]
        assert (cause["reason"], cause["field"]) == ("FieldValueForbidden", f"spec.{field}")
        assert "is frozen once the job has started" in cause["message"]


def test_a_started_job_still_takes_the_fields_that_are_always_mutable(custom_resources, namespace):
    create(custom_resources, namespace, FineTuneJob)
    start(custom_resources, namespace, "a")
    assert patch(custom_resources, namespace, MUTABLE).status == 200
    assert patch(custom_resources, namespace, dict.fromkeys(MUTABLE)).body["spec"] == SMALLEST[FineTuneJob]
    blocks = {name: block for name, block in MUTABLE.items() if isinstance(block, dict)}
    paths = {f"{above}.{name}" for above, block in blocks.items() for name in block} | MUTABLE.keys() - blocks.keys()
    assert paths == FineTuneJob.mutable_once_started


def test_the_status_is_written_apart_from_the_spec(custom_resources, namespace):
    create(custom_resources, namespace, FineTuneJob)
    body = {"spec": {"suspend": True}, "status": {"phase": "Running"}}
    assert "status" not in request_patch(custom_resources, namespace, body).body
    written = request_patch(
        custom_resources, namespace, {"spec": {"suspend": False}, "status": {"phase": "Running"}}, subresource="/status"
    )
    assert (written.body["status"], written.body["spec"]["suspend"]) == ({"phase": "Running"}, True)


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
    status = {
        "phase": "Running",
        "workers": "2/2",
        "restarts": {"total": 1},
        "progress": {"percent": "45%", "step": 9, "loss": 0.25, "eta": "12m"},
    }
    written = request_patch(custom_resources, namespace, {"status": status}, name="reviews", subresource="/status")
    assert written.status == 200, written.body
    header, row = custom_resources.kubectl("get", "ftj", "-n", namespace).stdout.splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "STEP", "LOSS", "ETA", "WORKERS", "RESTARTS", "AGE"]
    assert row.split()[:-1] == ["reviews", "Running", "45%", "9", "0.25", "12m", "2/2", "1"]
    wide = custom_resources.kubectl("get", "tuneloop", "-n", namespace, "-o", "wide").stdout
    assert wide.splitlines()[0].split()[-2:] == ["FAILURE", "ARTIFACT"]
    header = custom_resources.kubectl("get", "mdep", "-n", namespace, "--ignore-not-found", "-o", "wide")
    assert header.returncode == 0


def test_kubectl_explain_reads_like_documentation(custom_resources):
    explained = custom_resources.kubectl("explain", "ftj.spec.training.learningRate")
    assert explained.returncode == 0, explained.stderr
    assert "FIELD: learningRate <number>" in explained.stdout
    explanation = " ".join(explained.stdout.split())
    assert "Default: by method and model, as shown in `status.resolved`. For example `2e-4`." in explanation
    assert "-required-" in custom_resources.kubectl("explain", "mdep.spec").stdout


def manifest(kind, *, name="a", spec=None):
    return {
        "apiVersion": API_VERSION,
        "kind": kind.__name__,
        "metadata": {"name": name},
        "spec": SMALLEST[kind] if spec is None else spec,
    }


def collection(kind, namespace):
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{kind.__name__.lower()}s"


def create(plane, namespace, kind, *, name="a", spec=None):
    reply = plane.request("POST", collection(kind, namespace), manifest(kind, name=name, spec=spec), STRICT)
    assert reply.status == 201, reply.body
    return reply.body


def apply(plane, namespace, body):
    return plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(body))


def patch(plane, namespace, spec, *, name="a"):
    return request_patch(plane, namespace, {"spec": spec}, name=name)


def request_patch(plane, namespace, body, *, name="a", subresource=""):
    path = f"{collection(FineTuneJob, namespace)}/{name}{subresource}"
    return plane.request("PATCH", path, body, STRICT, "application/merge-patch+json")


def start(plane, namespace, name):
    started = request_patch(
        plane, namespace, {"status": {"startTime": "2026-01-01T00:00:00Z"}}, name=name, subresource="/status"
    )
    assert started.status == 200, started.body


def resource(kind):
    return next(resource for resource in crd.RESOURCES if resource.model is kind)


def enums(schema, path=()):
    if "enum" in schema:
        yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from enums(below, (*path, name))


def rules(schema, path=()):
    yield from ((path, rule) for rule in schema.get("x-kubernetes-validations", ()))
    for name, below in schema.get("properties", {}).items():
        yield from rules(below, (*path, name))
    if path and "items" in schema:
        yield from rules(schema["items"], (*path[:-1], f"{path[-1]}[0]"))


def inside(path, value):
    """Return YAML in flow style with a value below a path, as it stands: `{training: {precision: fp32}}`."""
    for name in reversed(path):
        value = f"{{{name}: {value}}}"
    return value
