"""Runs one stage: `python -m tuneloop_trainer check|plan|prepare|train|export|supervise RUN_JSON`.

`check` runs `prepare` up to tokenization, leaves no files, and prints the plan as JSON. `plan` rehearses the job, too. `train` is one rank. `supervise`
is PID 1 of a training pod, and starts the ranks. Exit codes: `tuneloop_api.contract.exit_codes`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast, get_args

from pydantic import ValidationError

from tuneloop_api.contract.defaults import with_defaults
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.run_config import RunConfig, Stage
from tuneloop_api.wire.model import changed, ignored_fields
from tuneloop_api.wire.printable import log_to_stderr, printable
from tuneloop_api.wire.uris import HUB_SCHEME
from tuneloop_trainer.errors import ConfigError, Preempted
from tuneloop_trainer.failures import StageFailure, failure_of
from tuneloop_trainer.imports import gc_paused
from tuneloop_trainer.redaction import redact
from tuneloop_trainer.report import Reporter
from tuneloop_trainer.stage_result import (
    RANK_MESSAGE_VARIABLE,
    failed,
    succeeded,
    write_result,
    write_termination_message,
)
from tuneloop_trainer.supervisor.start import program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from tuneloop_api.contract.results import TerminationMessage
    from tuneloop_trainer.stage_result import StageResult
    from tuneloop_trainer.supervisor.start import StartProcess

LOG = logging.getLogger(__name__)
_ENTRY_POINTS = {
    "prepare": ("tuneloop_trainer.prepare", "prepare"),
    "train": ("tuneloop_trainer.training.rank", "train"),
    "export": ("tuneloop_trainer.export.stage", "export"),
}
_STAGE_OF = {"supervise": "train", "check": "prepare", "plan": "prepare"}
"""The stage whose configuration a command reads, for commands that are not stages."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_USAGE = "usage: python -m tuneloop_trainer check|plan|prepare|train|export|supervise RUN_JSON"


def main(arguments: Sequence[str], *, ranks: Callable[[Sequence[str]], StartProcess] = program) -> int:
    """Run the command that the arguments name; returns the exit code.

    ranks: makes the function that starts a rank from the rank's command line.
    """
    if len(arguments) != 2 or arguments[0] not in {*get_args(Stage), *_STAGE_OF}:
        print(_USAGE, file=sys.stderr)
        return int(ExitCode.CONFIG)
    command, run_json = arguments[0], Path(arguments[1])
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    log_to_stderr()
    try:
        config = load_run_config(run_json, stage=_STAGE_OF.get(command, command))
    except ConfigError as error:
        _print_failure(failure_of(error))
        return int(error.exit_code)
    _limit_hub_access(config)
    if command == "supervise":
        return _supervise(config, ranks([sys.executable, "-m", "tuneloop_trainer", "train", str(run_json)]))
    if command in {"check", "plan"}:
        return int(_check_or_plan(config, command))
    return int(run_stage(config))


def load_run_config(path: Path, *, stage: str) -> RunConfig:
    """Read a run configuration for this stage, and fill in the defaults of this release. Raises ConfigError with the path of the first wrong field."""
    try:
        data = json.loads(path.read_bytes())
        config = RunConfig.from_wire(data)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {_wrong_fields(error)}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is no JSON: {error}") from error
    if config.stage != stage:
        raise ConfigError(f"{path}: stage: is {config.stage!r}, but {stage!r} was started")
    for field in ignored_fields(data, config):
        LOG.warning("%s: %s: this release of the trainer does not know the field: it has no effect", path, field)
    return changed(config, settings=with_defaults(config.settings))


def run_stage(config: RunConfig) -> ExitCode:
    """Run a stage; write its result and its termination message, and return its exit code."""
    reporter = Reporter(config)
    if config.stage != "train":  # a training rank agrees with the others on when to stop
        for number in _STOP_SIGNALS:
            signal.signal(number, _stop)
    try:
        result = _entry_point(config.stage)(config, reporter)
        reference = write_result(result, stage=config.stage, job=Path(config.paths.job_dir)) if result else None
        _leave_message(config, succeeded(result, stage=config.stage, reference=reference))
    except BaseException as error:  # noqa: BLE001  (this is the top: the operator must learn of every end)
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        return _report_failure(config, _preempted(error) if isinstance(error, _Stopped) else error)
    finally:
        reporter.close()
    return ExitCode.OK


def _supervise(config: RunConfig, start_rank: StartProcess) -> int:
    try:
        return int(import_module("tuneloop_trainer.supervisor.supervisor").supervise(config, start_rank))
    except ConfigError as error:
        return _report_failure(config, error)


def _check_or_plan(config: RunConfig, command: str) -> ExitCode:
    try:
        with redirect_stdout(sys.stderr):  # what libraries print is no part of the plan
            found = getattr(import_module("tuneloop_trainer.check"), command)(config)
        print(found.model_dump_json(by_alias=True, exclude_none=True))
    except Exception as error:  # noqa: BLE001  (this is the top)
        failure = failure_of(error)
        _print_failure(failure)
        return failure.exit_code
    return ExitCode.OK


def _entry_point(stage: Stage) -> Callable[[RunConfig, Reporter], StageResult | None]:
    """Import the module of a stage. Only the stage that runs is imported: each needs other libraries, which take seconds to load."""
    name, function = _ENTRY_POINTS[stage]
    with gc_paused():
        module = import_module(name)
    return cast("Callable[[RunConfig, Reporter], StageResult | None]", getattr(module, function))


def _report_failure(config: RunConfig, error: BaseException) -> ExitCode:
    failure = failure_of(error)
    _print_failure(failure)
    try:
        _leave_message(config, failed(failure, stage=config.stage, rank=_rank(config)))
    except OSError as unwritable:
        print(f"error: the termination message cannot be written: {unwritable}", file=sys.stderr)
    return failure.exit_code


def _leave_message(config: RunConfig, message: TerminationMessage) -> None:
    own = os.environ.get(RANK_MESSAGE_VARIABLE) if config.stage == "train" else None
    write_termination_message(message, Path(own or config.paths.termination_message))


def _rank(config: RunConfig) -> int | None:
    return int(os.environ.get("RANK", "0")) if config.stage == "train" else None


class _Stopped(KeyboardInterrupt):
    """A signal asks the stage to stop. No `except Exception` takes it for a fault of what it interrupts, and libraries clean up as after Ctrl-C."""


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(signal.Signals(number).name)


def _preempted(stopped: _Stopped) -> Preempted:
    return Preempted(f"stopped by {stopped}", hint="the stage starts again from its beginning")


def uses_hub(config: RunConfig) -> bool:
    """Whether a command fetches its model from the Hugging Face Hub."""
    return config.stage == "prepare" and config.settings.model.uri.startswith(HUB_SCHEME)


def _limit_hub_access(config: RunConfig) -> None:
    """Keep the Hugging Face libraries off the network, unless the model is to come from there."""
    if not uses_hub(config):
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _print_failure(failure: StageFailure) -> None:
    for line in (*failure.traceback, f"error: {failure.message}"):
        print(printable(redact(line)), file=sys.stderr)
    if failure.hint:
        print(printable(f"hint: {failure.hint}"), file=sys.stderr)


def _wrong_fields(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    first = "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}" for problem in problems[:5]
    )
    return first if len(problems) <= 5 else f"{first}; and {len(problems) - 5} more"


def end_process(code: int) -> NoReturn:
    """Flush the output and end the process at once, without the teardown of the interpreter.

    A rank must skip the teardown: a thread of gloo may still hold the last reference to a tensor, and freeing the tensor without an
    interpreter aborts the process, so that a gang that has succeeded would count as failed (https://github.com/pytorch/pytorch/pull/179291).
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    if sys.argv[1:2] == ["train"]:
        end_process(exit_code)
    sys.exit(exit_code)
