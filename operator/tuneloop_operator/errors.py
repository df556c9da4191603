"""The operator's errors.

OperatorError
├── NameConflict            a child's name is taken by an object that is not ours
├── NoConfiguration         no API server is configured, or the configuration cannot be read
├── LostLeadership          another operator leads now
├── InvalidQuery            a query of Prometheus names what it may not
└── ClusterError
    ├── ClusterUnavailable   no answer, or an answer that asks to come later
    ├── NotLeading           the write was not sent: this operator does not lead
    ├── NotFound             there is no such object
    ├── AlreadyExists        create: an object of that name exists
    ├── Conflict             the object changed since it was read
    └── Refused              the API server does not accept the object
"""

from __future__ import annotations


class OperatorError(Exception):
    """The root of the tree."""


class NameConflict(OperatorError):  # noqa: N818  (named as the condition that it becomes)
    """A child's name is taken by an object that is not ours. The message names the object."""


class NoConfiguration(OperatorError):  # noqa: N818  (named as the state that it reports)
    """No API server is configured, or the configuration cannot be read. The message says which."""


class LostLeadership(OperatorError):  # noqa: N818
    """Another operator leads now. The message names it."""


class InvalidQuery(OperatorError):  # noqa: N818
    """A query of Prometheus has a name or a value that cannot stand there. The message says which, and what is allowed."""


class ClusterError(OperatorError):
    """The API server did not carry out the request."""


class ClusterUnavailable(ClusterError):  # noqa: N818
    """No answer, or an answer that asks to come later. The API server may have carried out a write all the same."""

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that the API server asked to wait; 0 if it named none."""


class NotLeading(ClusterError):  # noqa: N818
    """The write was not sent, because this operator does not lead, or cannot be sure that it still leads."""


class NotFound(ClusterError):  # noqa: N818
    """There is no such object."""


class AlreadyExists(ClusterError):  # noqa: N818
    """An object of that name exists."""


class Conflict(ClusterError):  # noqa: N818
    """The object changed since it was read."""


class Refused(ClusterError):  # noqa: N818
    """The API server does not accept the object. The message is that of the API server."""
