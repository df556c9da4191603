"""How a stage is started, and how every end of it is reported."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from run_configs import run_config

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.results import (
    DataCounts,
    MemoryPlan,
    PrepareResult,
    Resolved,
    SavedStep,
    TerminationMessage,
    TrainResult,
)
from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.contract.termination import fit_termination_message
from tuneloop_trainer import __main__ as program
from tuneloop_trainer.errors import ConfigError, DataError, ModelAccessError
from tuneloop_trainer.failures import failure_of
from tuneloop_trainer.stage_result import RANK_MESSAGE_VARIABLE, succeeded


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class DistBackendError(RuntimeError):
    """Named as torch.distributed's."""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("a row", hint="mend it"), ExitCode.DATA, "a row"),
        (MemoryError(), ExitCode.OUT_OF_MEMORY_HOST, "the machine has no memory left"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            ExitCode.OUT_OF_MEMORY_HOST,
            "memory",
        ),
        (OutOfMemoryError("CUDA out of memory. Tried to"), ExitCode.OUT_OF_MEMORY_GPU, "the GPU has no memory left"),
        (OSError(errno.ENOSPC, "No space left on device", "/mnt/x"), ExitCode.STORAGE, "/mnt/x: .*ENOSPC"),
        (OSError(errno.EROFS, "Read-only file system", "/mnt/x"), ExitCode.STORAGE, "EROFS"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), ExitCode.STORAGE, "ENOSPC"),
        (DistBackendError("Connection reset by peer"), ExitCode.COLLECTIVE, "a peer was lost"),
        (OSError(errno.ENOENT, "No such file"), ExitCode.UNKNOWN, "FileNotFoundError"),
        (KeyError("x"), ExitCode.USER_CODE, "KeyError: 'x'"),
        (ValueError("first\nlast line"), ExitCode.USER_CODE, "ValueError: last line"),
    ],
)
def test_an_exception_has_a_class_and_a_sentence(error, code, message):
    failure = failure_of(error)
    assert failure.exit_code == code
    assert re.search(message, failure.message)
    assert bool(failure.traceback) == (code in {ExitCode.UNKNOWN, ExitCode.USER_CODE})


def stage_that(monkeypatch, end: Callable[[], object]) -> None:
    """Put a stage in place of the real ones: what is tested here is what stands around them."""
    monkeypatch.setattr(program, "_entry_point", lambda _: lambda _config, _reporter: end())


def raising(error: BaseException) -> Callable[[], object]:
    def end() -> object:
        raise error

    return end


def message_at(path: Path) -> TerminationMessage:
    return TerminationMessage.from_wire(json.loads(path.read_text()))


def test_an_unknown_exception_shows_its_traceback_in_the_log_and_its_last_line_to_the_user(
    tmp_path, monkeypatch, capsys
):
    stage_that(monkeypatch, raising(EOFError("no such thing")))
    assert program.run_stage(run_config(tmp_path)) == ExitCode.UNKNOWN
    errors = capsys.readouterr().err
    assert "Traceback" in errors
    assert errors.splitlines()[-1] == "error: EOFError: no such thing"
    message = message_at(tmp_path / "termination.json")
    assert message.failure_class == "Unknown"
    assert message.last_lines[0].startswith("Traceback")
    assert message.last_lines[-1] == "EOFError: no such thing"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_no_fault_of_what_it_interrupts(tmp_path, monkeypatch, number):
    def load_tokenizer():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except Exception as error:  # as libraries do, and as is done around them
            raise ModelAccessError("the tokenizer cannot be loaded") from error

    stage_that(monkeypatch, load_tokenizer)
    assert program.run_stage(run_config(tmp_path)) == ExitCode.PREEMPTED
    message = message_at(tmp_path / "termination.json")
    assert (message.outcome, message.message) == ("Preempted", f"stopped by {number.name}")


def test_secrets_stay_out_of_the_termination_message_and_the_log(tmp_path, monkeypatch, capsys):
    secrets = {"HF_TOKEN": "opensesame", "DATABASE": "db-canary", "TUNELOOP_SECRET_VARIABLES": "DATABASE,OTHER"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    stage_that(monkeypatch, raising(ValueError("no access with opensesame db-canary at https://me:letmein@host/x")))
    program.run_stage(run_config(tmp_path))
    written = (tmp_path / "termination.json").read_text()
    assert (
        message_at(tmp_path / "termination.json").message == "ValueError: no access with *** *** at https://***@host/x"
    )
    log = capsys.readouterr().err
    assert "no access with ***" in log
    for text in (written, log):
        assert "opensesame" not in text
        assert "db-canary" not in text
        assert "letmein" not in text


def test_a_name_that_is_not_utf_8_fits_into_the_termination_message(tmp_path, monkeypatch):
    stage_that(monkeypatch, raising(DataError("rows\udcff.csv: no rows")))
    assert program.run_stage(run_config(tmp_path)) == ExitCode.DATA
    assert message_at(tmp_path / "termination.json").message == "rows\\udcff.csv: no rows"


def test_a_training_pod_without_a_rendezvous_says_so(tmp_path, capsys):
    path = written(tmp_path, run_config(tmp_path, stage="train"))
    assert program.main(["supervise", str(path)]) == ExitCode.CONFIG
    assert capsys.readouterr().err.startswith("error: rendezvous: missing")
    assert message_at(tmp_path / "termination.json").failure_class == "Config"


def trained(best: SavedStep | None) -> TrainResult:
    return TrainResult(
        attempt=1, world_size=2, start_step=0, steps=7, stopped_early=False, last=SavedStep(step=7, path="c/7"), best=best,
        weights_path="w", predictions={}, log_path="l", resume="exact", precision="fp32", tokens_per_second=1.0, padding_fraction=0.0,
    )  # fmt: skip


def test_a_rank_writes_its_message_where_the_supervisor_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv(RANK_MESSAGE_VARIABLE, str(tmp_path / "rank-1.json"))
    monkeypatch.setenv("RANK", "1")
    stage_that(monkeypatch, raising(DataError("broken")))
    assert program.run_stage(run_config(tmp_path, stage="train")) == ExitCode.DATA
    assert message_at(tmp_path / "rank-1.json").rank == 1
    assert not (tmp_path / "termination.json").exists()


@pytest.mark.parametrize("best", [None, SavedStep(step=5, path="c/5", metric="loss", value=0.5)])
def test_rank_0_writes_the_result_of_training(tmp_path, monkeypatch, best):
    stage_that(monkeypatch, lambda: trained(best))
    assert program.run_stage(run_config(tmp_path, stage="train")) == ExitCode.OK
    assert TrainResult.from_wire(json.loads((tmp_path / "job" / "train.json").read_text())) == trained(best)
    message = message_at(tmp_path / "termination.json")
    assert (message.outcome, message.step, message.train.best) == ("Succeeded", 7, best)


def test_other_ranks_have_no_result(tmp_path, monkeypatch):
    stage_that(monkeypatch, lambda: None)
    assert program.run_stage(run_config(tmp_path, stage="train")) == ExitCode.OK
    message = message_at(tmp_path / "termination.json")
    assert (message.outcome, message.result) == ("Succeeded", None)
    assert not (tmp_path / "job" / "train.json").exists()


def test_a_result_that_cannot_be_written_is_a_storage_failure(tmp_path, monkeypatch):
    stage_that(monkeypatch, lambda: trained(None))
    monkeypatch.setattr(
        program, "write_result", raising_always(OSError(errno.ENOSPC, "No space left on device", "train.json"))
    )
    assert program.run_stage(run_config(tmp_path, stage="train")) == ExitCode.STORAGE
    assert message_at(tmp_path / "termination.json").failure_class == "Storage"


def raising_always(error: BaseException) -> Callable[..., object]:
    def always(*_: object, **__: object) -> object:
        raise error

    return always


def written(tmp_path: Path, config: RunConfig, **changes: object) -> Path:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(config.to_wire() | changes))
    return path


def test_a_run_configuration_is_read_back(tmp_path):
    config = run_config(tmp_path)
    assert program.load_run_config(written(tmp_path, config), stage="prepare") == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attempt": "one"}, "attempt: Input should be a valid integer"),
        ({"stage": "export"}, "stage: is 'export', but 'prepare' was started"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        program.load_run_config(written(tmp_path, run_config(tmp_path), **changes), stage="prepare")


def test_a_field_of_a_later_release_is_ignored_and_named_in_the_log(tmp_path, caplog):
    config = run_config(tmp_path, training={"warmupSteps": 5})
    later = {"colour": "red", "settings": config.settings.to_wire() | {"training": {"warmupSteps": 5, "neftune": 5.0}}}
    found = program.load_run_config(written(tmp_path, config, **later), stage="prepare")
    assert found.settings.training.warmup_steps == 5
    for field in ("colour", "settings.training.neftune"):
        assert f"run.json: {field}: this release of the trainer does not know the field" in caplog.text


def test_the_trainer_fills_in_its_own_defaults(tmp_path):
    config = run_config(tmp_path)
    settings = {"model": {"uri": "file:///m"}, "task": "text-classification", "data": {"train": [{"uri": "file:///d"}]}}
    training = program.load_run_config(written(tmp_path, config, settings=settings), stage="prepare").settings.training
    assert (training.epochs, training.max_steps) == (3.0, None)
    assert (training.warmup_ratio, training.warmup_steps) == (0.06, None)
    assert training.global_batch_size == 32


@pytest.mark.parametrize(("content", "message"), [("{", "is no JSON"), (None, "cannot be read: No such file")])
def test_a_file_that_is_no_run_configuration_is_named(tmp_path, content, message):
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"run.json: {message}"):
        program.load_run_config(path, stage="prepare")


@pytest.mark.parametrize("arguments", [[], ["prepare"], ["teach", "run.json"], ["prepare", "a", "b"]])
def test_a_wrong_call_shows_the_usage(arguments, capsys):
    assert program.main(arguments) == ExitCode.CONFIG
    assert capsys.readouterr().err.startswith("usage: python -m tuneloop_trainer ")


MEMORY = MemoryPlan(
    weights=10**12, gradients=10**12, optimizer=10**12, activations=10**12, framework=10**12, total=5 * 10**12
)


@pytest.mark.parametrize("letter", ["x", "語"])
def test_a_thousand_long_class_names_fit_into_a_termination_message(letter):
    labels = [f"{index:04}{letter * 124}" for index in range(1000)]
    resolved = Resolved(
        labels=labels, max_tokens=64, global_batch_size=32, micro_batch_size=16, steps_per_epoch=1, total_steps=1,
        warmup_steps=0, learning_rate=1e-5, precision="fp32", zero_stage=1,
    )  # fmt: skip
    counts = DataCounts(rows=9, splits={"train": 7, "validation": 1, "test": 1}, bad=0, duplicates=0, truncated=0)
    result = PrepareResult(
        dataset_digest="d", dataset_path="p", model_path="m", model_revision="r", model_type="bert", counts=counts,
        resolved=resolved, report_path="r", cache_hit=False, memory=MEMORY,
    )  # fmt: skip
    data = fit_termination_message(succeeded(result, stage="prepare", reference=None))
    assert len(data) <= 4096
    summary = TerminationMessage.from_wire(json.loads(data)).prepare
    assert summary.memory == MEMORY
    shown = summary.resolved.labels
    assert shown == labels[: len(shown)]
    assert len(shown) > 5


def test_a_rank_flushes_its_output_and_skips_the_interpreters_teardown() -> None:
    program = """
import atexit
from tuneloop_trainer.__main__ import end_process
atexit.register(print, "torn down")
print("message")
end_process(7)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert (ended.returncode, ended.stdout) == (7, "message\n")
