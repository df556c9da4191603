"""The errors of local mode. Each message tells the user what to do.

LocalError
├── FolderUnusable   the folder cannot be written to
├── FolderInUse      another process writes to the folder
├── PortInUse        the port to serve on is taken
├── ClaimMissing     a manifest names a claim that has no folder
├── NotAccepted      a valid manifest cannot run here
├── NotInThisSession no session runs the object that a command is for
├── NoPrometheus     there is no Prometheus, or it does not start
└── SessionFailed    a part of the session ended unexpectedly: a defect
"""

from __future__ import annotations


class LocalError(Exception):
    """The root of the tree."""


class FolderUnusable(LocalError):  # noqa: N818  (named as the state that it reports)
    """The folder cannot be written to."""


class FolderInUse(LocalError):  # noqa: N818
    """Another process writes to the folder."""


class PortInUse(LocalError):  # noqa: N818
    """The port to serve on is taken."""


class ClaimMissing(LocalError):  # noqa: N818
    """A manifest names a claim that has no folder."""


class NotAccepted(LocalError):  # noqa: N818
    """A valid manifest cannot run here."""


class NotInThisSession(LocalError):  # noqa: N818
    """No session of this folder runs the object that a command is for."""


class NoPrometheus(LocalError):  # noqa: N818
    """There is no Prometheus on this machine and none can be fetched, or it does not start."""


class SessionFailed(LocalError):  # noqa: N818
    """A part of the session ended unexpectedly."""
