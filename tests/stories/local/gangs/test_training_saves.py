"""Whole training runs and their checkpoints: written beside the steps, on a full volume, gone back before, lost."""

from __future__ import annotations

import json
import queue
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import forked_gangs
import pytest
from forked_gangs import run_gangs
from gang_faults import fill, small_disk
from prepared_runs import training_run, write_dataset, write_run
from ranks import GangOutcome, start_and_wait
from tiny_models import sentences, tiny_bert

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_api.contract.run_config import Paths, ProgressEndpoint, ResultReference, RunConfig
from tuneloop_api.wire.model import changed
from tuneloop_trainer.checkpoint.resume import check_files, committed, read_manifest

STEPS = 60
LONG = 400
"""Steps of a run in the middle of which a test does something: seconds, on any machine."""
SECONDS = 90.0


@pytest.fixture(scope="module")
def make_run(tmp_path_factory) -> Any:
    """Return what makes a run of two ranks: `make_run(name, **checkpoint)`."""
    root = tmp_path_factory.mktemp("runs")
    model = tiny_bert(root / "model")
    rows = sentences(220)
    write_dataset(root / "data", {"train": rows[:160], "validation": rows[160:190], "test": rows[190:]}, model=model)

    def make(name: str, *, steps: int = STEPS, **checkpoint: Any) -> RunConfig:
        (root / name).mkdir()
        return training_run(
            root / name,
            model=model,
            dataset=root / "data",
            training={
                "maxSteps": steps, "globalBatchSize": 16, "microBatchSize": 8, "learningRate": 3e-3, "evaluateEvery": {"steps": 20},
            },
            method={"type": "full"},
            gang={"nodes": 1, "gpusPerNode": 0, "processesPerNode": 2},
            checkpoint={"everySteps": 10} | checkpoint,
        )  # fmt: skip

    return make


@pytest.fixture(scope="module")
def unbroken(make_run) -> RunConfig:
    config = make_run("unbroken")
    train(config)
    return config


def train(config: RunConfig) -> None:
    run_gangs([run_json_of(config)])


def train_badly(config: RunConfig) -> GangOutcome:
    return start_and_wait(Path(forked_gangs.__file__), "train", world_size=2, path=str(run_json_of(config)))


def run_json_of(config: RunConfig) -> Path:
    return write_run(config, Path(config.paths.job_dir, f"run-{config.attempt}.json"))


def message_of(config: RunConfig) -> dict:
    return json.loads(Path(config.paths.job_dir, f"run-{config.attempt}.json.message.0").read_text())


def again(config: RunConfig, folder: Path, **changes: Any) -> RunConfig:
    """Return the second attempt at a run, on a copy of its folder."""
    job = shutil.copytree(config.paths.job_dir, folder / "job")
    paths = Paths(**(config.paths.model_dump() | {"job_dir": str(job)}))
    prepared = ResultReference(path=str(job / "prepare.json"), sha256=config.prepare_result.sha256)
    return changed(config, attempt=2, paths=paths, prepare_result=prepared, **changes)


def checkpoints_of(config: RunConfig) -> Path:
    return Path(config.paths.job_dir, "checkpoints")


def names_in(config: RunConfig) -> list[str]:
    return sorted(path.name for path in checkpoints_of(config).glob("step-*"))


def result_of(config: RunConfig) -> dict:
    return json.loads(Path(config.paths.job_dir, "train.json").read_text())


def outcome(config: RunConfig) -> tuple[list[tuple], str]:
    """Return the loss of every step, and the digest of the weights that would be published."""
    job = Path(config.paths.job_dir)
    lines = map(json.loads, (job / "logs" / "train.jsonl").read_text().splitlines())
    weights = (job / "weights" / "trainable.safetensors").read_bytes()
    return [(line["step"], line["loss"]) for line in lines], sha256(weights).hexdigest()


def test_saves_beside_the_steps_change_no_bit_of_training(make_run, unbroken: RunConfig) -> None:
    waiting = make_run("waiting", asynchronous=False)
    train(waiting)
    assert outcome(waiting) == outcome(unbroken)
    assert names_in(waiting) == names_in(unbroken)
    assert result_of(unbroken)["saveSecondsP95"] > 0


class Operator(ThreadingHTTPServer):
    """Keeps the progress that is posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Posts)
        self.received: queue.Queue[ProgressMessage] = queue.Queue()

    def next(self, wanted: Any) -> ProgressMessage:
        """Wait for a message that is as wanted; earlier ones are dropped."""
        while not wanted(message := self.received.get(timeout=SECONDS)):
            pass
        return message


class Posts(BaseHTTPRequestHandler):
    server: Operator

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.put(ProgressMessage.from_wire(json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def operator() -> Iterator[Operator]:
    server = Operator()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def posting_to(operator: Operator, config: RunConfig) -> RunConfig:
    token = Path(config.paths.job_dir, "token")
    token.write_text("token\n")
    endpoint = ProgressEndpoint(url=f"http://127.0.0.1:{operator.server_port}/progress", token_path=str(token))
    return changed(config, progress=endpoint)


def test_a_full_disk_is_reported_and_training_ends_with_the_same_weights_once_there_is_space(
    make_run, operator
) -> None:
    longer = {"steps": LONG}
    expected = make_run("expected", **longer)
    train(expected)
    config = posting_to(operator, make_run("full-for-a-while", **longer))
    folder = checkpoints_of(config)
    with small_disk(folder, megabytes=16), ThreadPoolExecutor(1) as pool:
        training = pool.submit(train, config)
        first = operator.next(lambda message: message.latest is not None)
        filler = fill(folder)
        failed = operator.next(lambda message: message.save_error is not None)
        kept = {name: read_manifest(folder / name) for name in committed(folder)}
        for name, manifest in kept.items():
            check_files(folder / name, manifest.files)
        filler.unlink()
        training.result()
        last = operator.next(lambda message: message.latest is not None and message.latest.step == LONG)
        assert "No space left on device" in failed.save_error
        assert max(manifest.step for manifest in kept.values()) >= first.latest.step
        assert last.save_error is None
        assert outcome(config) == outcome(expected)


def test_a_full_disk_at_the_end_is_an_error_of_the_storage_and_leaves_what_was_saved(make_run, operator) -> None:
    config = posting_to(operator, make_run("full-to-the-end", steps=LONG))
    folder = checkpoints_of(config)
    with small_disk(folder, megabytes=16), ThreadPoolExecutor(1) as pool:
        training = pool.submit(train_badly, config)
        operator.next(lambda message: message.latest is not None)
        fill(folder)
        assert set(training.result().exit_codes) == {1}
        message = message_of(config)
        assert message["failureClass"] == "Storage"
        assert "No space left on device" in message["message"]
        newest = message["train"]["last"]["step"]
        assert read_manifest(folder / committed(folder)[0]).step == newest


def test_going_back_before_a_step_quarantines_what_is_newer_until_training_has_passed_it(unbroken, tmp_path) -> None:
    config = again(unbroken, tmp_path, resume_before=60, expected_step=60)
    before = names_in(config)
    assert before == ["step-00000050-a1", "step-00000060-a1"]
    train(config)
    assert result_of(config)["startStep"] == 50
    assert outcome(config) == outcome(unbroken)
    assert names_in(config) == ["step-00000050-a1", "step-00000060-a2"]


def test_going_back_before_everything_begins_at_the_start(unbroken, tmp_path) -> None:
    config = again(unbroken, tmp_path, resume_before=10, expected_step=60)
    train(config)
    assert result_of(config)["startStep"] == 0
    assert outcome(config) == outcome(unbroken)


def test_lost_checkpoints_are_an_error_that_names_the_folder_and_what_to_do(unbroken, tmp_path) -> None:
    config = again(unbroken, tmp_path, expected_step=60)
    shutil.rmtree(checkpoints_of(config))
    train_badly(config)
    message = message_of(config)
    assert message["failureClass"] == "CheckpointLost"
    assert f"{checkpoints_of(config)}: a checkpoint of step 60 was saved here" in message["message"]
    assert 'tuneloop.dev/accept-lost-checkpoint: "true"' in message["hint"]


def test_corrupt_checkpoints_are_an_error_that_names_each(unbroken, tmp_path) -> None:
    config = again(unbroken, tmp_path, expected_step=60)
    for name in names_in(config):
        (checkpoints_of(config) / name / "rank00001.safetensors").write_bytes(b"")
    train_badly(config)
    message = message_of(config)
    assert message["failureClass"] == "CheckpointLost"
    for name in names_in(config):
        assert f"{name} is damaged: rank00001.safetensors has 0 bytes" in message["message"]


def test_an_accepted_loss_begins_at_the_start(unbroken, tmp_path) -> None:
    config = again(unbroken, tmp_path, expected_step=None)
    shutil.rmtree(checkpoints_of(config))
    train(config)
    assert result_of(config)["startStep"] == 0
    assert outcome(config) == outcome(unbroken)


def test_a_corrupt_newest_checkpoint_costs_the_steps_since_the_one_before(unbroken, tmp_path) -> None:
    config = again(unbroken, tmp_path, expected_step=60)
    (checkpoints_of(config) / "step-00000060-a1" / "rank00000.safetensors").unlink()
    train(config)
    assert result_of(config)["startStep"] == 50
    assert outcome(config) == outcome(unbroken)
