"""`python -m tuneloop_server.artifact_check SERVER_JSON`: compare an artifact with its manifest and digest, before a program that is not ours reads it.

It ends with 0, or as the model server would: with one line on stderr, the exit code that the operator knows, and a termination message.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_server.artifact import check_files, read_manifest
from tuneloop_server.config_file import read_config
from tuneloop_server.errors import CannotServe
from tuneloop_server.last_words import say_why

if TYPE_CHECKING:
    from tuneloop_api.contract.artifact import Manifest


def main() -> int:
    """Check; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tuneloop_server.artifact_check", description="Compare an artifact with its manifest and digest."
    )
    parser.add_argument("config", type=Path, metavar="SERVER_JSON", help="the server's configuration (ServerConfig)")
    parser.add_argument("--task", action="append", help="a task that the program can serve; may be repeated")
    arguments = parser.parse_args()
    config = None
    try:
        config = read_config(arguments.config, ServerConfig)
        manifest = read_manifest(config)
        _check_task(config, manifest, arguments.task)
        check_files(config, manifest)
    except CannotServe as error:
        return say_why(error, config, lines=())
    print(f"{config.artifact_uri}: {len(manifest.files)} files are as {manifest.digest()} says")
    return ExitCode.OK


def _check_task(config: ServerConfig, manifest: Manifest, tasks: list[str] | None) -> None:
    """Raise CannotServe for an artifact of another task than these; None: every task will do."""
    if tasks and manifest.task not in tasks:
        message = f"{config.artifact_uri}: manifest.json has the task {manifest.task}, this runtime serves {', '.join(tasks)}; set runtime.type: Builtin"
        raise CannotServe(message, exit_code=ExitCode.MODEL_ACCESS, failure_class=ServingFailureClass.MODEL_LOAD_FAILED)


if __name__ == "__main__":
    sys.exit(main())
