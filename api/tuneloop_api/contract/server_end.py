"""What a model server says as it ends: its termination message, from which `status.failure` of a ModelDeployment is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.wire.model import MessageModel, Open
from tuneloop_api.wire.serving_failure import ServingFailureClass


class ServerEnd(MessageModel):
    """Why a server cannot serve. `termination.fit_termination_message` makes it fit."""

    version: Literal[1] = 1
    failure_class: Annotated[ServingFailureClass, Field(strict=False), Open(ServingFailureClass.SERVER_ENDED)]
    message: str
    """What happened, in one sentence that a user can read."""
    hint: str | None = None
    """What to do about it."""
    last_lines: list[str] | None = None
    """The last lines of the server's log, oldest first, without secrets."""
