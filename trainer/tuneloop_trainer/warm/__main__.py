"""A warm process: `python -m tuneloop_trainer.warm`. Requests on stdin, answers on stdout: `fork_server`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tuneloop_api.contract.run_config import RunConfig
from tuneloop_trainer.__main__ import end_process, main, uses_hub
from tuneloop_trainer.imports import gc_paused
from tuneloop_trainer.supervisor.start import fork
from tuneloop_trainer.supervisor.supervisor import KEEP_MEMORY
from tuneloop_trainer.training.rank import import_attempt
from tuneloop_trainer.warm.become import become
from tuneloop_trainer.warm.fork_server import ForkServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneloop_trainer.supervisor.start import StartProcess

ROOM = "TUNELOOP_ROOM"
"""A variable that makes room for the environments of forks: /proc shows a block of memory whose size is fixed at the start."""
_ROOM_FOR_ARGUMENTS, _ROOM_FOR_ENVIRONMENT = 2048, 8192
_READ_AT_IMPORT = (
    *("CUDA_", "DS_", "GOMP_", "HF_", "HUGGINGFACE_", "KMP_", "LD_", "MKL_", "NUMEXPR_", "OPENBLAS_", "PYTHON", "PYTORCH_"),
    *("TOKENIZERS_", "TORCH", "TRANSFORMERS_", "XDG_"),
)  # fmt: skip
"""Variables whose names begin so are read when a library is imported. A command with another value of such a variable needs a fresh interpreter."""
_MODULES = ("tuneloop_trainer.export.stage", "tuneloop_trainer.prepare")


def serve() -> Sequence[str] | None:
    """Import what the stages need, and serve. Returns None at the end, and in each fork the arguments of its command."""
    if ROOM not in os.environ:
        _restart_with_room()
    del os.environ[ROOM]
    own = dict(os.environ)
    requests, answers = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _import()
    request = ForkServer(requests=requests, answers=answers).serve()
    if request is None:
        return None
    command = [sys.executable, "-m", "tuneloop_trainer", *request.arguments]
    become(command, request.environment)
    if _read_at_import(request.environment) != _read_at_import(own) or needs_hub(Path(request.arguments[-1])):
        os.execve(command[0], command, request.environment)  # noqa: S606  (no shell is wanted)
    return request.arguments


def _import() -> None:
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    import_attempt()
    with gc_paused():
        for name in _MODULES:
            import_module(name)


def forked(command: Sequence[str]) -> StartProcess:
    """Return a function that runs a command of the trainer in a fork of this process."""

    def run(environment: Mapping[str, str]) -> int:
        become(command, environment)
        return main(command[3:], ranks=forked)

    return fork(run)


def _restart_with_room() -> NoReturn:
    """Start this program again, with room in its memory, and with the settings of malloc for ranks, which are read at the start."""
    words = [sys.executable, "-m", "tuneloop_trainer.warm", " " * _ROOM_FOR_ARGUMENTS]
    environment = {"GLIBC_TUNABLES": KEEP_MEMORY, **os.environ, ROOM: " " * _ROOM_FOR_ENVIRONMENT}
    os.execve(words[0], words, environment)  # noqa: S606  (no shell is wanted)


def _read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_IMPORT)}


def needs_hub(run_json: Path) -> bool:
    """Whether a command needs the network, which this process has turned off. A wrong file is for the command to report."""
    with suppress(OSError, ValueError):
        return uses_hub(RunConfig.from_wire(json.loads(run_json.read_bytes())))
    return False


if __name__ == "__main__":
    arguments = serve()
    end_process(main(arguments, ranks=forked) if arguments is not None else 0)
