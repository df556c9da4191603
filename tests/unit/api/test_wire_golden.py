"""Today's code reads every message that a release has ever written, and misses nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from message_samples import sample
from write_wire_golden import DIGESTS, GOLDEN, MESSAGES, NOT_IN_0_1_0, model_of

from tuneloop_api.contract.artifact import Manifest
from tuneloop_api.contract.defaults import is_of_first_release, with_defaults
from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_api.contract.results import PrepareResult, TerminationMessage
from tuneloop_api.contract.run_config import ResultReference, RunConfig
from tuneloop_api.v1alpha1 import FineTuneJobStatus
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_trainer.checkpoint import manifest as checkpoint

RELEASES = sorted(path.name for path in GOLDEN.iterdir())
FILES = [
    pytest.param(path, id=f"{path.parent.name}/{path.name}")
    for path in sorted(GOLDEN.glob("*/*.json"))
    if path.name != DIGESTS
]
GONE: dict[str, set[str]] = {}
"""By message: paths of fields that were taken out of it since."""
SHA256 = 16 * "9f2c"


def content(release: str, name: str) -> Any:
    return json.loads((GOLDEN / release / name).read_bytes())


def leaves(wire: Any, path: str = "") -> dict[str, Any]:
    """Return every value of decoded JSON by its path."""
    if isinstance(wire, dict) and wire:
        return {place: value for key, below in wire.items() for place, value in leaves(below, f"{path}.{key}").items()}
    if isinstance(wire, list) and wire:
        return {
            place: value
            for number, below in enumerate(wire)
            for place, value in leaves(below, f"{path}[{number}]").items()
        }
    return {path: wire}


def test_every_release_has_a_minimal_and_a_full_form_of_every_message() -> None:
    assert "0.1.0" in RELEASES
    for path in GOLDEN.glob("*/*.minimal.json"):
        assert path.with_name(path.name.replace("minimal", "full")).exists()
    first = {path.values[0].name.split(".")[0] for path in FILES if path.values[0].parent.name == "0.1.0"}
    assert first == set(MESSAGES) - NOT_IN_0_1_0


@pytest.mark.parametrize("message", sorted(MESSAGES))
@pytest.mark.parametrize("full", [False, True])
def test_the_next_release_can_write_every_message(message: str, full: bool) -> None:
    model = model_of(message)
    written = model.from_wire(sample(model, full=full))
    if message != "checkpoint-manifest":
        wire = json.loads(json.dumps(written.to_wire()))
        assert model.from_wire(wire).to_wire() == wire


@pytest.mark.parametrize("path", FILES)
def test_every_value_of_a_message_is_read(path: Path) -> None:
    message = path.name.split(".")[0]
    written = json.loads(path.read_bytes())
    if message == "checkpoint-manifest":
        written.pop("digest")
    read = leaves(model_of(message).from_wire(written).to_wire())
    missed = {place: value for place, value in leaves(written).items() if read.get(place, "nothing") != value}
    assert missed.keys() == GONE.get(message, set())


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("form", ["minimal", "full"])
def test_a_manifest_has_the_digest_that_its_release_gave_it(release: str, form: str) -> None:
    name = f"artifact-manifest.{form}.json"
    assert Manifest.from_wire(content(release, name)).digest() == content(release, DIGESTS)[name]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("form", ["minimal", "full"])
def test_a_checkpoint_verifies(release: str, form: str) -> None:
    data = (GOLDEN / release / f"checkpoint-manifest.{form}.json").read_bytes()
    assert checkpoint.Manifest.decode(data).step == 57


def test_a_run_config_of_release_0_1_0_says_where_and_what() -> None:
    config = RunConfig.from_wire(content("0.1.0", "run-config.full.json"))
    assert (config.paths.job_dir, config.fresh_run_id) == ("job", "begins-anew")
    assert config.prepare_result == ResultReference(path="path", sha256=SHA256)
    assert config.settings.training.max_steps == 11
    assert is_of_first_release(config.config_hash)
    least = RunConfig.from_wire(content("0.1.0", "run-config.minimal.json"))
    assert with_defaults(least.settings).training.epochs == 3.0
    assert least.fresh_run_id is None


def test_the_results_and_posts_of_release_0_1_0_say_how_it_went() -> None:
    message = TerminationMessage.from_wire(content("0.1.0", "termination-message.full.json"))
    assert (message.stage, message.outcome, message.failure_class) == ("export", "Preempted", FailureClass.UNKNOWN)
    prepared = content("0.1.0", "prepare-result.full.json")
    assert PrepareResult.from_wire(prepared).resolved.zero_stage == prepared["resolved"]["stage"]
    assert ProgressMessage.from_wire(content("0.1.0", "progress-message.full.json")).save_error == "unsaved"
    status = FineTuneJobStatus.from_wire(content("0.1.0", "fine-tune-job-status.full.json"))
    assert status.lineage is not None
    assert status.lineage.config_hash == "config-hash"
