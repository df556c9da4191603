"""Which changes of a manifest go on with the run that was left, and what is said about those that do not: every field of the spec is sorted in."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from local_manifests import fine_tune_job
from manifest_cases import fill, good, resolve, smallest
from pydantic import ValidationError

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.local.kinds.kinds import LOCAL_KINDS
from tuneloop_cli.local.kubelet.pod_plan import Folders
from tuneloop_cli.local.one_machine import PLACEMENT, POD_OPTIONS
from tuneloop_cli.local.overlay import Hardware
from tuneloop_cli.local.same_run import IDENTITY, changed_fields, in_words, run_uid, unlike
from tuneloop_cli.local.submission import trained_identity

HARDWARE = Hardware(gpus=0, ranks=2)
FINE_TUNE_JOB = LOCAL_KINDS["FineTuneJob"]

TRAINS = """
    model.uri model.revision model.labels model.chatTemplate
    task taskOptions.problemType taskOptions.tagScheme taskOptions.labelAllTokens taskOptions.maskProbability taskOptions.wholeWord
    taskOptions.sourcePrefix taskOptions.maxTargetTokens taskOptions.numBeams taskOptions.lossOn taskOptions.docStride taskOptions.maxAnswerTokens taskOptions.noAnswer
    data.train.columns.source data.train.columns.target data.validation.columns.source data.validation.columns.target data.test.columns.source data.test.columns.target
    data.train.columns.messages data.train.columns.prompt data.train.columns.completion data.train.columns.context data.train.columns.question data.train.columns.answers
    data.validation.columns.messages data.validation.columns.prompt data.validation.columns.completion data.validation.columns.context data.validation.columns.question data.validation.columns.answers
    data.test.columns.messages data.test.columns.prompt data.test.columns.completion data.test.columns.context data.test.columns.question data.test.columns.answers
    data.train.uri data.train.split data.train.limit data.train.cutoff data.train.window data.train.columns.text data.train.columns.label data.train.columns.tokens data.train.columns.tags
    data.train.labelRule.above data.train.labelRule.names data.train.labelRule.dropWithin
    data.validation.uri data.validation.split data.validation.limit data.validation.cutoff data.validation.window data.validation.columns.text data.validation.columns.label
    data.validation.columns.tokens data.validation.columns.tags data.validation.labelRule.above data.validation.labelRule.names
    data.validation.labelRule.dropWithin
    data.test.uri data.test.split data.test.limit data.test.cutoff data.test.window data.test.columns.text data.test.columns.label data.test.columns.tokens data.test.columns.tags
    data.test.labelRule.above data.test.labelRule.names data.test.labelRule.dropWithin
    data.format data.validate.maxBadFraction data.validate.samples data.maxTokens data.packing
    data.split.validation data.split.test data.split.method data.split.stratify data.split.groupBy data.split.seed
    data.deduplicate.exact data.deduplicate.acrossSplits data.allowMissingClasses data.balance.classWeights data.balance.focalGamma
    method.type method.rank method.alpha method.dropout method.targetModules method.useDora method.useRslora method.usePissa method.virtualTokens method.freeze
    training.epochs training.maxSteps training.globalBatchSize training.microBatchSize training.learningRate training.scheduler
    training.warmupRatio training.warmupSteps training.weightDecay training.beta1 training.beta2 training.epsilon training.maxGradNorm
    training.precision training.dropout training.labelSmoothing training.neftuneAlpha training.layerwiseLrDecay training.gradientCheckpointing training.evaluateEvery.steps training.evaluateEvery.epochs
    search.space.path search.space.type search.space.low search.space.high search.space.values search.space.numbers search.sampler search.pruner search.trials search.metric
    training.earlyStopping.metric training.earlyStopping.patience training.earlyStopping.minDelta training.bestMetric training.seed
"""
"""Fields on which the course of training depends: with another value, a checkpoint is of another run."""
PLACES = "storage.claim storage.subPath checkpoint.resume checkpoint.resumeFrom"
"""Fields that say which checkpoints there are."""
FREE = """
    model.secretRef.name model.secretRef.key data.train.secretRef.name data.validation.secretRef.name data.test.secretRef.name evaluation.compareWith.recent.secretRef.name
    evaluation.bootstrapSamples evaluation.baselines evaluation.compareWith.uri evaluation.compareWith.digest evaluation.compareWith.margin
    evaluation.compareWith.minImprovement evaluation.compareWith.sliceMargin evaluation.compareWith.recent.uri evaluation.compareWith.recent.split evaluation.compareWith.recent.limit
    evaluation.compareWith.recent.cutoff evaluation.compareWith.recent.window
    evaluation.compareWith.recent.columns.text evaluation.compareWith.recent.columns.label evaluation.compareWith.recent.columns.tokens
    evaluation.compareWith.recent.columns.tags evaluation.compareWith.recent.columns.source evaluation.compareWith.recent.columns.target
    evaluation.compareWith.recent.columns.messages evaluation.compareWith.recent.columns.prompt evaluation.compareWith.recent.columns.completion evaluation.compareWith.recent.columns.context evaluation.compareWith.recent.columns.question evaluation.compareWith.recent.columns.answers
    evaluation.compareWith.recent.labelRule.above evaluation.compareWith.recent.labelRule.names
    evaluation.compareWith.recent.labelRule.dropWithin deepspeed.stage deepspeed.offloadOptimizer output.checkpoint output.mergeAdapter output.formats
    resources.nodes resources.gpusPerNode resources.processesPerNode resources.gpuResource resources.cpu resources.memory
    resources.requests.cpu resources.requests.memory resources.sharedMemory resources.ephemeralStorage resources.extended
    resources.prepare.cpu resources.prepare.memory resources.export.cpu resources.export.memory network.interface network.ncclEnv
    failurePolicy.maxRestarts failurePolicy.maxTotalRestarts failurePolicy.maxDisruptions failurePolicy.rules.class failurePolicy.rules.exitCodes
    failurePolicy.rules.action failurePolicy.startDeadline failurePolicy.hangTimeout
    scheduling.queueName scheduling.minNodes scheduling.shrinkAfter scheduling.avoidBadNodes scheduling.hostNetwork
    activeDeadlineSeconds ttlSecondsAfterFinished cleanup.checkpoints preflight.dryRun preflight.rehearsal budget.maxGpuHours suspend
    image checkpoint.every checkpoint.everySteps checkpoint.async checkpoint.keepLast checkpoint.keepBest checkpoint.gracePeriod
"""
"""Fields that only change where or how often the same numbers are computed, what is measured, or what is published."""


def leaves(schema, node, path=()):
    """Yield the path of each field that holds no further fields of ours, without the numbers of items."""
    node = resolve(schema, node)
    if "properties" in node:
        for name, field in node["properties"].items():
            yield from leaves(schema, field, (*path, name))
    elif node["type"] == "array" and "properties" in resolve(schema, node["items"]):
        yield from leaves(schema, node["items"], path)
    else:
        yield ".".join(path), node


SCHEMA = FineTuneJob.model_json_schema(by_alias=True)
OF_PODS = POD_OPTIONS | {f"scheduling.{name}" for name in PLACEMENT}
"""Where pods run and who they are: whole blocks, all free."""
LEAVES = {
    name: node
    for name, node in leaves(SCHEMA, SCHEMA["properties"]["spec"])
    if not any(name == block or name.startswith(f"{block}.") for block in OF_PODS)
}
BESIDE = {
    "search": {"space": [{"path": "training.learningRate", "type": "log-float", "low": 1e-5, "high": 1e-2}]},
    "labelRule": {"above": 5.0, "names": ["low", "high"]},
    "data.split.stratify": {"method": "random"},
    "method.freeze": {"type": "full"},
    "method.virtualTokens": {"type": "prefix"},
    "training.evaluateEvery.epochs": {"epochs": 1.0},
    "failurePolicy.rules.exitCodes": {"exitCodes": [1], "action": "Fail"},
    "scheduling.shrinkAfter": {"minNodes": 1},
}
"""The block around a field, by the name of the block or the field, where the smallest block is none that the field may stand in."""
VALUES = {
    "low": [1e-6, 1e-5],
    "high": [1e-2, 1e-1],
    "values": [["full"], ["lora"]],
    "numbers": [[1e-4], [1e-3]],
    "names": [["low", "high"], ["bad", "good"]],
    "above": [5.0, 6.0],
    "dropWithin": [0.5, 1.0],
}
ONE_VALUE = {"failurePolicy.rules.class"}


def test_every_field_of_the_spec_is_sorted_in() -> None:
    assert {*TRAINS.split(), *PLACES.split(), *FREE.split()} == set(LEAVES)
    assert len(TRAINS.split() + PLACES.split() + FREE.split()) == len(LEAVES)


OF_MASKS: dict[str, Any] = {"task": "fill-mask", "model": {"uri": "pvc://models/a"}}
OF_WRITING: dict[str, Any] = {"task": "text2text-generation", "model": {"uri": "pvc://models/a"}}
OF_GENERATION: dict[str, Any] = {"task": "text-generation", "model": {"uri": "pvc://models/a"}}
OF_ANSWERS: dict[str, Any] = {"task": "question-answering", "model": {"uri": "pvc://models/a"}}
OTHER_TASKS: dict[str, dict[str, Any]] = {
    "taskOptions.tagScheme": {"task": "token-classification"},
    "taskOptions.labelAllTokens": {"task": "token-classification"},
    "taskOptions.maskProbability": OF_MASKS,
    "taskOptions.wholeWord": OF_MASKS,
    "taskOptions.sourcePrefix": OF_WRITING,
    "taskOptions.maxTargetTokens": OF_WRITING,
    "taskOptions.numBeams": OF_WRITING,
    "taskOptions.lossOn": OF_GENERATION,
    "model.chatTemplate": {"task": "text-generation"},
    "taskOptions.docStride": OF_ANSWERS,
    "taskOptions.maxAnswerTokens": OF_ANSWERS,
    "taskOptions.noAnswer": OF_ANSWERS,
}
"""Fields that only a job of another task has, with what such a job has besides."""


def values_of(node):
    if node["type"] == "array":
        return [good(resolve(SCHEMA, node["items"]))[:length] for length in (1, 2)]
    return [{}] if node["type"] == "object" else good(node)


def _make_valid(spec, inner, field):
    """Change what must stand beside a field. inner: the block of the field."""
    *blocks, last = field.split(".")
    if field.startswith("model.secretRef") or field == "model.revision":
        spec["model"]["uri"] = "hf://org/gated"
    if field == "model.chatTemplate":
        del spec["model"]["labels"]
    if field == "method.virtualTokens":
        spec["output"] = {"mergeAdapter": False}
    if field == "training.layerwiseLrDecay":
        spec["method"] = {"type": "full"}
    if field.endswith("secretRef.name") and blocks[-2] != "model":
        around = spec
        for name in blocks[:-1]:
            around = around[name][0] if isinstance(around[name], list) else around[name]
        around["uri"] = "s3://bucket/rows.csv"
    if blocks[:1] == ["search"] and last in ("values", "numbers"):
        inner.clear()
        inner |= {"path": "method.type" if last == "values" else "training.learningRate", "type": "categorical"}
    if last in ("cutoff", "window"):
        inner["uri"] = "feedback://reviews"


def manifests_with(field):
    """Yield valid manifests that differ in one field: without it, and with each of its values."""
    base = smallest(FineTuneJob)
    base["metadata"]["namespace"] = "default"
    base["spec"] |= {
        "model": {"uri": "pvc://models/a", "labels": ["a", "b"]},
        "data": {"train": [{"uri": "pvc://models/b.csv"}]},
    }
    node, inner = resolve(SCHEMA, SCHEMA["properties"]["spec"]), base["spec"]
    *blocks, last = field.split(".")
    for name in blocks:
        node = resolve(SCHEMA, node["properties"][name])
        is_list = node["type"] == "array"
        node = resolve(SCHEMA, node["items"]) if is_list else node
        given = BESIDE.get(field, {}) if name == blocks[-1] else {}
        smallest_block = copy.deepcopy(given or BESIDE.get(name) or fill(SCHEMA, node))
        inner.setdefault(name, [smallest_block] if is_list else smallest_block)
        inner = inner[name][0] if is_list else inner[name]
    _make_valid(base["spec"], inner, field)
    tasks = [{}, *([OTHER_TASKS[field]] if field in OTHER_TASKS else [])]
    for value in (*VALUES.get(last, values_of(LEAVES[field])), None):
        for changed in tasks:
            inner[last] = value
            if value is None:
                del inner[last]
            found = copy.deepcopy(base) | {"spec": copy.deepcopy(base["spec"]) | changed}
            with contextlib.suppress(ValidationError):
                FineTuneJob.from_wire(found)
                yield found


def pair_with(field):
    """Return two valid manifests that differ in one field, and train differently if any two do; None if there are no two."""
    found = list(manifests_with(field))
    pairs = [
        (found[-1], new) for new in found[:-1] if field == "task" or found[-1]["spec"]["task"] == new["spec"]["task"]
    ]
    return max(pairs, key=lambda pair: len(unlike(pair[1], stored(pair[0]))), default=None)


def stored(manifest, *, phase="Suspended", uid="before"):
    """Return a manifest as a run that was left stores it."""
    written = {IDENTITY: trained_identity(manifest)}
    return manifest | {
        "metadata": manifest["metadata"] | {"uid": uid, "annotations": written},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize("field", [*TRAINS.split(), *PLACES.split()])
def test_a_field_on_which_training_depends_begins_another_run_and_is_named(field: str) -> None:
    old, new = pair_with(field)
    changes = unlike(new, stored(old))
    block = (
        field.replace("data.train.", "data.train[0].")
        .replace("data.validation.", "data.validation[0].")
        .replace("data.test.", "data.test[0].")
        .replace("search.space.", "search.space[0].")
    )
    assert any(change.startswith((f"{field}: ", f"{block}: ", f"{block}[")) for change in changes), changes


@pytest.mark.parametrize("field", FREE.split())
def test_any_other_field_goes_on_with_the_run(field: str) -> None:
    found = pair_with(field)
    if found is None:
        assert field in ONE_VALUE
        return
    old, new = found
    assert unlike(new, stored(old)) == []
    assert run_uid(new, stored(old)) == "before"


MORE = {"evaluation": {"bootstrapSamples": 5000}}


@pytest.mark.parametrize(
    ("phase", "change", "goes_on"),
    [
        ("Suspended", {}, True),
        ("Suspended", MORE, True),
        ("Running", MORE, True),
        ("Failed", MORE, True),
        ("Succeeded", {}, True),
        ("Succeeded", MORE, False),
        ("Suspended", {"training": {"epochs": 2}}, False),
        ("Suspended", {"training": {"epochs": 3.0}}, True),
        ("Suspended", {"storage": {"claim": "other"}}, False),
    ],
)
def test_a_run_is_gone_on_with_unless_it_has_succeeded_or_trains_otherwise(phase, change, goes_on) -> None:
    old, new = stored(fine_tune_job(), phase=phase), fine_tune_job(**change)
    assert run_uid(new, old) == ("before" if goes_on else trained_identity(new))


def test_a_run_that_was_gone_on_with_is_known_by_its_newest_manifest() -> None:
    changed = fine_tune_job(**MORE)
    done = stored(changed, phase="Succeeded", uid=trained_identity(fine_tune_job()))
    assert run_uid(changed, done) == trained_identity(fine_tune_job())
    assert run_uid(fine_tune_job(), done) == trained_identity(fine_tune_job())


def test_a_job_that_release_0_1_0_stored_keeps_its_folder() -> None:
    old = fine_tune_job(**MORE)
    old = old | {"metadata": old["metadata"] | {"uid": trained_identity(old)}, "status": {"phase": "Suspended"}}
    assert run_uid(fine_tune_job(**MORE), old) == run_uid(fine_tune_job(), old) == old["metadata"]["uid"]


def test_a_stored_job_that_cannot_be_read_is_another_run() -> None:
    old = stored(fine_tune_job(future=1))
    assert unlike(fine_tune_job(), old) == ["the stored job is of another release and cannot be read"]


def remarks(tmp_path, old, change, *, step=40):
    folders = Folders(root=tmp_path)
    fitted = FINE_TUNE_JOB.fit(fine_tune_job(**change), HARDWARE, old)
    if step is not None:
        claim = folders.claim("demo") / "jobs" / f"reviews-{old['metadata']['uid'][:8]}"
        (claim / "checkpoints" / f"step-{step:08d}-a1").mkdir(parents=True)
    return FINE_TUNE_JOB.remarks(fitted.manifest, folders, old)


@pytest.mark.parametrize(
    ("phase", "change", "line"),
    [
        ("Suspended", MORE, "training goes on from step 40 (evaluation.bootstrapSamples: not set → 5000)"),
        (
            "Suspended",
            {"training": {"epochs": 2, "learningRate": 1e-4}},
            "training begins at step 1: the checkpoint of step 40 is of another run (training.epochs: 3.0 → 2.0, training.learningRate: not set → 0.0001)",
        ),
        (
            "Succeeded",
            MORE,
            "training begins at step 1: the checkpoint of step 40 is of a job that has succeeded (evaluation.bootstrapSamples: not set → 5000)",
        ),
    ],
)
def test_what_becomes_of_a_checkpoint_is_shown_before_the_training(tmp_path, phase, change, line) -> None:
    old = stored(fine_tune_job(), phase=phase, uid=trained_identity(fine_tune_job()))
    assert remarks(tmp_path, old, change) == [line]


def test_a_manifest_that_is_as_it_was_before_the_last_one_goes_on_from_its_own_checkpoint(tmp_path) -> None:
    folders, first = Folders(root=tmp_path), fine_tune_job()
    for name, step in ((trained_identity(first), 40), ("before", 70)):
        job = folders.claim("demo") / "jobs" / f"reviews-{name[:8]}"
        (job / "checkpoints" / f"step-{step:08d}-a1").mkdir(parents=True)
    old = stored(fine_tune_job(training={"epochs": 2}))
    fitted = FINE_TUNE_JOB.fit(first, HARDWARE, old)
    (line,) = FINE_TUNE_JOB.remarks(fitted.manifest, folders, old)
    assert line.startswith("training goes on from step 40 (training")


def test_a_job_that_is_to_begin_again_says_so(tmp_path) -> None:
    old = stored(fine_tune_job(), uid=trained_identity(fine_tune_job()))
    change = {"checkpoint": {"resume": "never"}}
    assert remarks(tmp_path, old, change) == ["training begins at step 1, as checkpoint.resume: never asks"]


def test_without_a_checkpoint_or_a_change_there_is_nothing_to_show(tmp_path) -> None:
    old = stored(fine_tune_job(), uid=trained_identity(fine_tune_job()))
    assert remarks(tmp_path, old, {"training": {"epochs": 2}}, step=None) == []
    assert remarks(tmp_path, old, {}) == []


def test_a_run_that_is_gone_on_with_keeps_its_attempts_and_its_hash(tmp_path) -> None:
    old = stored(fine_tune_job(), uid=trained_identity(fine_tune_job()))
    old["status"]["lineage"] = {"configHash": "0123456789abcdef"}  # as release 0.1.0 wrote it
    folders = Folders(root=tmp_path)
    checkpoints = folders.claim("demo") / "jobs" / f"reviews-{old['metadata']['uid'][:8]}" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "ATTEMPT").write_text('{"attempt": 2, "owner": "a"}')
    fitted = FINE_TUNE_JOB.fit(fine_tune_job(**MORE), HARDWARE, old)
    status = FINE_TUNE_JOB.first_status(fitted.manifest, folders, old)
    assert status == {"attempt": 2, "lineage": {"configHash": "0123456789abcdef"}}


def test_many_changes_are_counted() -> None:
    old = stored(fine_tune_job())
    new = fine_tune_job(
        evaluation={"bootstrapSamples": 1000, "baselines": False},
        output={"checkpoint": "last"},
        image="a",
        budget={"maxGpuHours": 1},
    )
    assert in_words(changed_fields(new, old)).endswith(" and 2 more")
