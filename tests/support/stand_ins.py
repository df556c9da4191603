"""Lets programs that tests start have forks for what they start themselves: a warm trainer is 8 s of work, a model server 4 s, a command line 2 s.

`of_sessions()` makes `python -m tuneloop_trainer.warm` and `python -m tuneloop_server` ask for a fork instead of importing anything
(`stand_in/sitecustomize.py`). The asking process stays: it is what the session stops and kills, and what the kernel kills when the session dies.
With it ends the fork, and with that what the fork has started. A signal to stop is passed on. A program with another value of a variable that
libraries read when they are imported starts itself, as does one whose environment is `NONE`.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fork_server import ROOM, Preloaded, address

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "FORKS_OF_TESTS"
"""For each program the socket of the process that is forked from."""
NONE = {VARIABLE: ""}
"""The environment of a program that starts everything itself."""
HOOK = Path(__file__).parent / "stand_in"
OFFLINE = (("HF_HUB_OFFLINE", "1"), ("HF_HUB_DISABLE_TELEMETRY", "1"))
_OF_PODS = (("CUDA_VISIBLE_DEVICES", ""), ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1"))
"""Variables that the operator and a session without GPUs give every pod, and that libraries may read."""
_TRAINER_MODULES = (
    "tuneloop_trainer.engine.deepspeed_import",
    "tuneloop_trainer.training.attempt",
    "tuneloop_trainer.export.stage",
    "tuneloop_trainer.prepare",
    "tuneloop_trainer.warm.__main__",
)
SERVER_MODULES = (
    "tuneloop_server.__main__",
    "tuneloop_server.runtimes.torch_model",
    "tuneloop_server.runtimes.embedding",
    "tuneloop_server.runtimes.packed_linear",
    "transformers.models.bert.modeling_bert",
    "transformers.models.auto.tokenization_auto",
)
"""What a model server imports, now or once it listens."""

_COMMAND_LINE_MODULES = (
    "tuneloop_cli.main",
    "tuneloop_cli.local.session",
    *(f"tuneloop_cli.commands.{name}" for name in ("get", "logs", "plan", "rollout", "run", "serve", "up", "validate")),
)


def of_sessions() -> dict[str, str]:
    """Return the variables with which sessions of local mode have forks for their warm trainers, model servers and comparators."""
    path = python_path(os.environ.get("PYTHONPATH", ""))
    return dict(OFFLINE) | {"PYTHONPATH": path} | _variable(_programs(path))


def of_command_lines() -> dict[str, str]:
    """Return the variables with which command lines are forks, and have forks in their sessions. No signal must be sent to their process groups."""
    sessions = of_sessions()
    own = _variable({"tuneloop_cli": address(Preloaded(_COMMAND_LINE_MODULES, sessions["PYTHONPATH"], OFFLINE))})
    return sessions | {VARIABLE: os.pathsep.join((sessions[VARIABLE], own[VARIABLE]))}


def of(programs: Mapping[str, Preloaded]) -> dict[str, str]:
    """Return the variable with which these programs are forks. Their PYTHONPATH has to begin with `HOOK`."""
    return _variable({name: address(preloaded) for name, preloaded in programs.items()})


def python_path(path: str) -> str:
    """Return a PYTHONPATH on which programs become stand-ins."""
    return os.pathsep.join(filter(None, (str(HOOK), path.removeprefix(f"{HOOK}{os.pathsep}"))))


@cache
def _programs(path: str) -> dict[str, str]:
    from tuneloop_trainer.supervisor.supervisor import KEEP_MEMORY

    memory = (("GLIBC_TUNABLES", KEEP_MEMORY), (ROOM, ""))  # as the warm trainer starts itself
    trainer = Preloaded(_TRAINER_MODULES, path, (*OFFLINE, *_OF_PODS, *memory), shows_command=True)
    modules = (*SERVER_MODULES, "tuneloop_server.comparator.__main__")
    serving = Preloaded(modules, path, (*OFFLINE, *_OF_PODS, ("TOKENIZERS_PARALLELISM", "false")), shows_command=True)
    programs = {"tuneloop_trainer.warm": trainer, "tuneloop_server": serving, "tuneloop_server.comparator": serving}
    return {name: address(preloaded) for name, preloaded in programs.items()}


def _variable(addresses: Mapping[str, str]) -> dict[str, str]:
    return {VARIABLE: os.pathsep.join(f"{program}={path}" for program, path in addresses.items())}
