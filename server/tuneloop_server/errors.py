"""What can go wrong.

Exception
├── CannotServe    the process ends: one line on stderr, an exit code, and a termination message
└── RequestError   the request ends: an HTTP status and an error in the shape of the protocol
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from tuneloop_api.wire.serving_failure import ServingFailureClass

if TYPE_CHECKING:
    from tuneloop_api.contract.exit_codes import ExitCode

Reason: TypeAlias = Literal["ok", "validation", "overloaded", "unavailable", "model_error", "timeout", "client_left"]
"""How a request ended: the label `reason` of `tuneloop_requests_total`."""


class CannotServe(Exception):  # noqa: N818  (named for what it means)
    """The server cannot start, or cannot go on. The text is one line that a user can act on."""

    def __init__(
        self,
        message: str,
        *,
        exit_code: ExitCode,
        failure_class: ServingFailureClass = ServingFailureClass.SERVER_ENDED,
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.failure_class = failure_class
        self.hint = hint
        """What a person can do, beside what the text says."""


class RequestError(Exception):
    """A request that gets no prediction. The protocol says in which shape a client reads its text."""

    def __init__(
        self, message: str, *, status: int, reason: Reason, retry_after: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason: Reason = reason
        self.retry_after = retry_after
        """Seconds until the client should try again; sent as Retry-After."""
        self.field = field
        """Path of the field that is wrong, if it is one field."""


def plain_error(error: RequestError) -> tuple[int, object]:
    """Return the error's own status, and `{"error": …}`: what the server's pages answer, too."""
    return error.status, {"error": str(error)}
