"""The operator's errors.

OperatorError
├── NameConflict            a child's name is taken by an object that is not ours
├── NoConfiguration         nothing says where the API server is, or what says it cannot be read
├── LostLeadership          another operator leads now
└── ClusterError
    ├── ClusterUnavailable   no answer, or an answer that says: later
    ├── NotLeading           the write was not sent: this operator does not lead
    ├── NotFound             there is no such object
    ├── AlreadyExists        create: an object of that name is there
    ├── Conflict             the object changed since it was read
    └── Refused              the API server will not take the object as it is
"""

from __future__ import annotations


class OperatorError(Exception):
    """The root of the tree."""


class NameConflict(OperatorError):  # noqa: N818  (named as the condition that it becomes)
    """A child's name is taken by an object that is not ours; the message says which."""


class NoConfiguration(OperatorError):  # noqa: N818  (named as the state that it reports)
    """Nothing says where the API server is, or what says it cannot be read; the message tells which."""


class LostLeadership(OperatorError):  # noqa: N818
    """Another operator leads now; the message names it."""


class ClusterError(OperatorError):
    """The API server did not do what was asked."""


class ClusterUnavailable(ClusterError):  # noqa: N818
    """No answer, or an answer that says: later. A write may have been carried out all the same."""

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that the API server asked to wait; 0 where it named none."""


class NotLeading(ClusterError):  # noqa: N818
    """The write was not sent, because this operator does not lead, or no longer knows that it does."""


class NotFound(ClusterError):  # noqa: N818
    """There is no such object."""


class AlreadyExists(ClusterError):  # noqa: N818
    """An object of that name is there."""


class Conflict(ClusterError):  # noqa: N818
    """The object changed since it was read."""


class Refused(ClusterError):  # noqa: N818
    """The API server will not take the object as it is; the message is its own."""
