"""run.json holds what was set; the hash of a run and the name of a revision do not change with a new field that has a default."""

from __future__ import annotations

from typing import Any

import pytest
from manifest_cases import smallest
from pydantic import create_model
from run_configs import run_config

from tuneloop_api.contract import defaults
from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.contract.server_config import BatchingSettings, ServerConfig, revision_of
from tuneloop_api.contract.settings import Settings
from tuneloop_api.v1alpha1 import FineTuneJob, FineTuneJobSpec
from tuneloop_api.wire import model
from tuneloop_api.wire.model import changed

FIRST_RELEASE_REVISION = "78a7de49"
"""As the code of release 0.1.0 computed it for the same configuration."""
DECIDED_BY_THE_OPERATOR = {
    "gang": {"nodes": 1, "gpusPerNode": 1, "processesPerNode": 1},
    "checkpoint": {"graceSeconds": 300},
}
SET: dict[str, Any] = {
    "method": {"rank": 8},
    "training": {"epochs": 2, "evaluateEvery": {"steps": 10}},
    "evaluation": {"baselines": False},
    "deepspeed": {"stage": 1},
    "output": {"checkpoint": "last"},
}


def spec_of(**blocks: Any) -> FineTuneJobSpec:
    manifest = smallest(FineTuneJob)
    return FineTuneJob.from_wire(manifest | {"spec": manifest["spec"] | blocks}).spec


def hash_of(**blocks: Any) -> str:
    return defaults.config_hash(defaults.as_set(spec_of(**blocks)))


def test_a_spec_that_sets_nothing_leaves_every_default_to_the_trainer() -> None:
    spec = spec_of()
    written = defaults.as_set(spec).to_wire()
    assert written == {name: spec.to_wire()[name] for name in ("model", "task", "data")} | DECIDED_BY_THE_OPERATOR


def test_what_a_spec_sets_is_written_as_it_is() -> None:
    written = defaults.as_set(spec_of(**SET)).to_wire()
    assert {name: written[name] for name in SET} == SET


def test_durations_and_sizes_are_written_in_seconds_and_bytes() -> None:
    resources = {"nodes": 2, "gpusPerNode": 4, "memory": "1Gi"}
    checkpoint = {"every": "10m", "gracePeriod": "90s", "async": False, "keepLast": 5}
    policy = {"hangTimeout": "1h"}
    settings = defaults.as_set(
        spec_of(resources=resources, checkpoint=checkpoint, failurePolicy=policy, cleanup={"checkpoints": "KeepAll"})
    )
    assert settings.to_wire()["gang"] == {
        "nodes": 2, "gpusPerNode": 4, "processesPerNode": 4, "memoryBytes": 2**30, "hangSeconds": 3600
    }  # fmt: skip
    assert settings.to_wire()["checkpoint"] == {
        "everySeconds": 600, "graceSeconds": 90, "asynchronous": False, "keepLast": 5, "cleanup": "KeepAll"
    }  # fmt: skip


def test_a_value_that_was_set_to_its_default_is_the_same_run() -> None:
    blocks = {"method": {"type": "lora", "rank": 16}, "training": {"epochs": 3, "globalBatchSize": 32}}
    assert hash_of(**blocks) == hash_of()


TOKENS = {"task": "token-classification"}
FIRST_HASHES = {"text-classification": "v2:1d3aff9dd453f3f2", "token-classification": "v2:fc19a3a3d77b3119"}
"""Of the smallest job of each task, as computed before `labelAllTokens` was there."""


@pytest.mark.parametrize("task", FIRST_HASHES)
@pytest.mark.parametrize("written", [{}, {"labelAllTokens": False}], ids=str)
def test_a_job_that_does_not_label_all_tokens_keeps_its_hash(task: str, written: dict[str, Any]) -> None:
    options = {"taskOptions": written} if task == "token-classification" else {}
    assert hash_of(task=task, **options) == FIRST_HASHES[task]


def test_a_job_that_labels_all_tokens_is_another_run() -> None:
    assert hash_of(**TOKENS, taskOptions={"labelAllTokens": True}) != hash_of(**TOKENS)


@pytest.mark.parametrize(
    "block",
    [
        {"method": {"rank": 8}},
        {"training": {"epochs": 2}},
        {"training": {"warmupSteps": 1}},
        {"training": {"seed": 7}},
        {"data": {"train": [{"uri": "pvc://models/other.csv"}]}},
        {"model": {"uri": "pvc://models/other"}},
    ],
    ids=str,
)
def test_another_result_is_another_run(block: dict[str, Any]) -> None:
    assert hash_of(**block) != hash_of()


@pytest.mark.parametrize(
    "block",
    [
        {"resources": {"nodes": 2}},
        {"checkpoint": {"everySteps": 5}},
        {"deepspeed": {"stage": 3}},
        {"evaluation": {"baselines": False}},
        {"output": {"checkpoint": "last"}},
    ],
    ids=str,
)
def test_the_same_numbers_elsewhere_or_more_often_are_the_same_run(block: dict[str, Any]) -> None:
    assert hash_of(**block) == hash_of()


def blocks_below(path: tuple[str, ...], kind: Any) -> list[Any]:
    """Return the path of every block of settings, by the Python names of the fields."""
    found = [pytest.param(path, id=".".join(path) or "settings")]
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, model.MessageModel):
            found += blocks_below((*path, name), field.annotation)
    return found


def with_new_field(kind: type[model.MessageModel], path: tuple[str, ...], default: object) -> type[Any]:
    """Return a model as a later release has it: one more field in the block at `path`."""
    if not path:
        return create_model(kind.__name__, __base__=kind, from_the_future=(Any, default))
    name, field = path[0], kind.model_fields[path[0]]
    inner = with_new_field(field.annotation, path[1:], default)
    filled = ... if field.is_required() else inner.from_wire(field.default.to_wire())
    return create_model(kind.__name__, __base__=kind, **{name: (inner, filled)})


@pytest.mark.parametrize("default", [None, 1], ids=str)
@pytest.mark.parametrize("path", blocks_below((), Settings))
def test_a_new_field_with_a_default_changes_no_hash_in_any_block(path: tuple[str, ...], default: object) -> None:
    later = with_new_field(Settings, path, default)
    for blocks in ({}, SET):
        wire = defaults.as_set(spec_of(**blocks)).to_wire()
        assert defaults.config_hash(later.from_wire(wire)) == defaults.config_hash(Settings.from_wire(wire))


def test_a_new_block_changes_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of()
    monkeypatch.setitem(defaults.IDENTITY_VERSIONS, "techniques", 1)
    assert hash_of() == before


@pytest.mark.parametrize("block", defaults.IDENTITY_VERSIONS)
def test_a_version_that_was_counted_up_changes_the_hash_of_every_run(
    monkeypatch: pytest.MonkeyPatch, block: str
) -> None:
    before = hash_of(), hash_of(**SET)
    monkeypatch.setitem(defaults.IDENTITY_VERSIONS, block, 2)
    assert hash_of() != before[0]
    assert hash_of(**SET) != before[1]


def test_every_block_either_belongs_to_the_identity_of_a_run_or_is_named_as_one_that_does_not() -> None:
    blocks = {field.alias for field in Settings.model_fields.values()}
    assert defaults.IDENTITY_VERSIONS.keys() ^ defaults.WITHOUT_IDENTITY == blocks


def test_a_run_config_reads_back_what_was_set_and_no_more(tmp_path: Any) -> None:
    config = run_config(tmp_path)
    assert RunConfig.from_wire(config.to_wire()) == config
    assert "seed" not in config.to_wire()["settings"]["training"]


def server_config(**changes: Any) -> ServerConfig:
    config = ServerConfig(
        namespace="team-a", name="reviews", revision="", artifact_path="/a", artifact_uri="pvc://models/a"
    )
    return changed(config, **changes)


def test_a_new_field_with_a_default_changes_no_revision() -> None:
    later = create_model("ServerConfig", __base__=ServerConfig, from_the_future=(int, 7))
    batching = create_model("BatchingSettings", __base__=BatchingSettings, from_the_future=(int, 7))
    later_batching = create_model("ServerConfig", __base__=ServerConfig, batching=(batching, batching()))
    for kind in (later, later_batching):
        read = kind.from_wire(server_config().to_wire())
        assert revision_of(read, pod=[None]) == revision_of(server_config(), pod=[None])


@pytest.mark.parametrize(
    "change",
    [
        {"drain_seconds": 46},
        {"metrics_port": 8081},
        {"batching": BatchingSettings(max_queue=1)},
        {"digest": "sha256:0"},
        {"name": "other"},
        {"engine": "onnx"},
        {"dtype": "int8"},
    ],
    ids=str,
)
def test_other_settings_are_another_revision(change: dict[str, Any]) -> None:
    assert revision_of(server_config(**change), pod=[]) != revision_of(server_config(), pod=[])


def test_a_revision_keeps_the_name_that_release_0_1_0_gave_it() -> None:
    assert revision_of(server_config(), pod=[None, None]) == FIRST_RELEASE_REVISION
