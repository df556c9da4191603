"""Reads the configuration of a program: a message of the operator, in a mounted file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.errors import CannotServe

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.wire.model import MessageModel

Config = TypeVar("Config", bound="MessageModel")


def read_config(path: Path, model: type[Config]) -> Config:
    """Return the message in a file. Raises CannotServe if the file cannot be read, or is no such message."""
    try:
        return model.from_wire(json.loads(path.read_bytes()))
    except OSError as error:
        raise CannotServe(f"{path}: cannot be read ({error.strerror})", exit_code=ExitCode.CONFIG) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise CannotServe(f"{path}: {field}: {first['msg']}", exit_code=ExitCode.CONFIG) from error
    except ValueError as error:
        raise CannotServe(f"{path}: is not JSON ({error})", exit_code=ExitCode.CONFIG) from error
