"""Two releases read each other's messages: unknown fields and words do not matter there, and still do in what people write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from manifest_cases import smallest
from message_samples import sample
from pydantic import ValidationError
from pydantic.fields import FieldInfo

import tuneloop_trainer.checkpoint.manifest as checkpoint
from tuneloop_api.contract import (
    artifact,
    comparator_config,
    comparison,
    job_plan,
    progress,
    results,
    run_config,
    server_config,
)
from tuneloop_api.contract.settings_block import SettingsBlock
from tuneloop_api.v1alpha1 import FineTuneJob, FineTuneJobStatus, ModelDeployment, ModelDeploymentStatus
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.model import MessageModel, Open, SpecModel, WireModel, ignored_fields
from tuneloop_trainer.dataset.shards import DatasetManifest
from tuneloop_trainer.models.trained import TrainedModel

MESSAGES: tuple[type[MessageModel], ...] = (
    run_config.RunConfig,
    results.PrepareResult,
    results.TrainResult,
    results.ExportResult,
    results.TerminationMessage,
    progress.ProgressMessage,
    artifact.Manifest,
    server_config.ServerConfig,
    comparator_config.ComparatorConfig,
    comparison.ComparisonCounts,
    comparison.GoldenRequest,
    job_plan.JobPlan,
    FineTuneJobStatus,
    ModelDeploymentStatus,
    DatasetManifest,
    checkpoint.Manifest,
    TrainedModel,
)
CLOSED = {
    "RunConfig.stage": "the program is started for one stage, and refuses the file of another",
    "TerminationMessage.stage": "an operator makes the Jobs of stages that it knows, and reads no others",
    "ProgressMessage.stage": "as above",
    "Condition.status": "three values of Kubernetes",
    "Manifest.task": "a server cannot serve a task that it does not know, and says so",
}
"""Fields of messages whose words no later release may extend, and why."""
EACH = pytest.mark.parametrize("message", MESSAGES, ids=lambda message: f"{message.__module__}.{message.__name__}")


def models_in(model: type[WireModel]) -> Iterator[type[WireModel]]:
    """Yield a model and every model below it."""
    yield model
    for field in model.model_fields.values():
        for inner in models_of(field.annotation):
            yield from models_in(inner)


def models_of(annotation: Any) -> Iterator[type[WireModel]]:
    if isinstance(annotation, type) and issubclass(annotation, WireModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_of(argument)


def words_of(annotation: Any) -> list[object]:
    """Return the words of a Literal or an enumeration, however it is wrapped."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return list(annotation)
    if get_origin(annotation) is Literal:
        return [word for word in get_args(annotation) if isinstance(word, str)]
    if get_origin(annotation) in {Union, UnionType}:
        return [word for argument in get_args(annotation) for word in words_of(argument)]
    return []


@EACH
def test_a_message_is_made_of_messages_all_the_way_down(message: type[MessageModel]) -> None:
    assert [model for model in models_in(message) if not issubclass(model, MessageModel)] == []


@EACH
def test_a_field_that_only_a_later_release_knows_is_ignored_at_any_depth(message: type[MessageModel]) -> None:
    wire = sample(message, full=True)
    later = json.loads(json.dumps(wire), object_hook=lambda found: found | {"fromTheFuture": 1})
    later = without_marks_in_maps(later, message.from_wire(wire))
    assert message.from_wire(later).to_wire() == message.from_wire(wire).to_wire()
    assert "fromTheFuture" in list(ignored_fields(later, message.from_wire(later)))


def without_marks_in_maps(wire: Any, read: Any) -> Any:
    """Take the mark out of maps, whose keys are data and no fields."""
    if isinstance(wire, list):
        return [without_marks_in_maps(*pair) for pair in zip(wire, read, strict=True)]
    if not isinstance(wire, dict):
        return wire
    if isinstance(read, dict):
        return {key: without_marks_in_maps(value, read[key]) for key, value in wire.items() if key in read}
    known = {field.alias or name: name for name, field in type(read).model_fields.items()}
    return {
        key: without_marks_in_maps(value, getattr(read, known[key])) if key in known else value
        for key, value in wire.items()
    }


def enumerated() -> list[Any]:
    found: dict[str, tuple[type[WireModel], FieldInfo]] = {}
    for message in MESSAGES:
        for model in models_in(message):
            if not issubclass(model, SettingsBlock):
                found |= {
                    f"{model.__name__}.{name}": (model, field)
                    for name, field in model.model_fields.items()
                    if words_of(field.annotation)
                }
    return [pytest.param(*pair, id=name) for name, pair in sorted(found.items()) if name not in CLOSED]


@pytest.mark.parametrize(("model", "field"), enumerated())
def test_a_word_that_only_a_later_release_knows_leaves_the_message_readable(
    model: type[MessageModel], field: FieldInfo
) -> None:
    assert any(isinstance(mark, Open) for mark in field.metadata)
    name = next(name for name, known in model.model_fields.items() if known is field)
    wire = sample(model, full=True)
    read = model.from_wire(wire | {field.alias or name: "FromTheFuture"})
    assert read.to_wire().keys() | {field.alias or name} == wire.keys()


def test_an_unknown_class_of_failure_is_read_as_unknown_and_an_unknown_finding_is_kept() -> None:
    wire = {"stage": "train", "outcome": "Stopped", "failureClass": "Bored", "message": "no more work"}
    finding = {"name": "Bored", "message": "m", "advice": "a"}
    train = {"startStep": 0, "steps": 1, "worldSize": 1, "resume": "lucky", "precision": "fp8", "findings": [finding]}
    read = results.TerminationMessage.from_wire(wire | {"train": train})
    assert (read.outcome, read.failure_class, read.message) == ("Failed", FailureClass.UNKNOWN, "no more work")
    assert read.train is not None
    assert (read.train.resume, read.train.precision) == ("rounding", "fp8")
    assert read.to_wire()["train"]["findings"] == [finding]


@pytest.mark.parametrize("name", ["two words", "", 7, ["list"]])
def test_what_is_no_word_is_still_an_error(name: object) -> None:
    with pytest.raises(ValidationError):
        results.Finding.from_wire({"name": name, "message": "m", "advice": "a"})


@pytest.mark.parametrize("kind", [FineTuneJob, ModelDeployment])
def test_an_unknown_field_of_a_spec_is_an_error_and_one_of_a_status_is_not(kind: type[SpecModel]) -> None:
    wire = smallest(kind)
    kind.from_wire(wire | {"status": {"fromTheFuture": 1}})
    with pytest.raises(ValidationError, match=r"spec\.fromTheFuture"):
        kind.from_wire(wire | {"spec": wire["spec"] | {"fromTheFuture": 1}})


def test_a_manifest_keeps_its_digest_whatever_release_reads_it() -> None:
    wire = sample(artifact.Manifest, full=True)
    later = wire | {"fromTheFuture": {"more": 1}}
    assert artifact.Manifest.from_wire(later).digest() != artifact.Manifest.from_wire(wire).digest()

    class Newer(artifact.Manifest):
        added: int = 7

    assert Newer.from_wire(wire).digest() == artifact.Manifest.from_wire(wire).digest()
    assert (
        artifact.Manifest(**artifact.Manifest.from_wire(wire).model_dump()).digest() == Newer.from_wire(wire).digest()
    )


def test_a_checkpoint_of_a_later_release_is_read_and_its_damage_is_still_found() -> None:
    class Newer(checkpoint.Manifest):
        added: int = 7

    content = Newer.from_wire(sample(checkpoint.Manifest, full=True)).encode()
    assert checkpoint.Manifest.decode(content).step == Newer.decode(content).step
    with pytest.raises(ValueError, match="differs from what was written"):
        checkpoint.Manifest.decode(content.replace(b'"added": 7', b'"added": 8'))
    assert Newer.decode(checkpoint.Manifest.from_wire(sample(checkpoint.Manifest, full=False)).encode()).added == 7


def test_the_words_of_release_0_1_0_stay_on_the_wire() -> None:
    """Four fields have a new name in Python alone."""
    assert sample(results.Resolved, full=False).keys() >= {"stage"}
    assert results.Resolved.model_fields["zero_stage"].alias == "stage"
    assert run_config.RunConfig.model_fields["fresh_run_id"].alias == "beginsAnew"
    assert run_config.Paths.model_fields["job_dir"].alias == "job"
    assert progress.ProgressMessage.model_fields["save_error"].alias == "unsaved"
