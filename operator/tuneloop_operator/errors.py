"""The operator's errors.

OperatorError
├── NameConflict            a child's name is taken by an object that is not ours
└── ClusterError
    ├── ClusterUnavailable   no answer, or an answer that says: later
    ├── AlreadyExists        create: an object of that name is there
    ├── Conflict             the object changed since it was read
    └── Refused              the API server will not take the object as it is
"""

from __future__ import annotations


class OperatorError(Exception):
    """The root of the tree."""


class NameConflict(OperatorError):  # noqa: N818  (named as the condition that it becomes)
    """A child's name is taken by an object that is not ours; the message says which."""


class ClusterError(OperatorError):
    """The API server did not do what was asked."""


class ClusterUnavailable(ClusterError):  # noqa: N818  (named as the state that it reports)
    """No answer, or an answer that says: later."""


class AlreadyExists(ClusterError):  # noqa: N818
    """An object of that name is there."""


class Conflict(ClusterError):  # noqa: N818
    """The object changed since it was read."""


class Refused(ClusterError):  # noqa: N818
    """The API server will not take the object as it is; the message is its own."""
