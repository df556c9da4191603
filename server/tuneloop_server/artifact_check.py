"""`python -m tuneloop_server.artifact_check SERVER_JSON`: compare an artifact and the adapters on it with their manifests and digests, before a program that is not ours reads them.

It ends with 0, or as the model server would: with one line on stderr, the exit code that the operator knows, and a termination message.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import MANIFEST
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_server.adapters import NO_ADAPTERS, Adapters, check_all_files, read_manifests
from tuneloop_server.artifact import read_manifest
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
        manifest, adapters = read_manifests(config) if config.adapters else (read_manifest(config), NO_ADAPTERS)
        _check_task(config, manifest, arguments.task)
        _check_base(config, adapters)
        check_all_files(config, manifest, adapters)
    except CannotServe as error:
        return say_why(error, config, lines=())
    checked = {config.artifact_uri: manifest}
    checked |= {adapter.place.artifact_uri: adapter.manifest for adapter in adapters.adapters}
    for uri, found in checked.items():
        print(f"{uri}: {len(found.files)} files are as {found.digest()} says")
    return ExitCode.OK


def _check_task(config: ServerConfig, manifest: Manifest, tasks: list[str] | None) -> None:
    """Raise CannotServe for an artifact of another task than these; None: every task will do."""
    if tasks and manifest.task not in tasks:
        message = f"{config.artifact_uri}: manifest.json has the task {manifest.task}, this runtime serves {', '.join(tasks)}; set runtime.type: Builtin"
        raise CannotServe(message, exit_code=ExitCode.MODEL_ACCESS, failure_class=ServingFailureClass.MODEL_LOAD_FAILED)


def _check_base(config: ServerConfig, adapters: Adapters) -> None:
    """Raise CannotServe for an artifact without a digest below adapters: the program is told to read it as the folder of a pre-trained model."""
    if adapters.adapters and adapters.has_own_model and config.digest is None:
        message = f"{config.artifact_uri}: holds {MANIFEST}, expected the folder of a pre-trained model; give spec.model.digest, so that it is read as an artifact"
        raise CannotServe(message, exit_code=ExitCode.MODEL_ACCESS, failure_class=ServingFailureClass.MODEL_LOAD_FAILED)


if __name__ == "__main__":
    sys.exit(main())
