"""The errors of local mode; each message is one that a user can act on.

LocalError
├── FolderUnusable   the folder cannot be written to
├── FolderInUse      another process writes to the folder
├── PortInUse        the port to serve on is taken
├── ClaimMissing     a manifest names a claim that has no folder
├── NotAccepted      a manifest is right, but cannot run here
└── SessionFailed    a part of the session ended by itself: a defect
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
    """A manifest is right, but cannot run here."""


class SessionFailed(LocalError):  # noqa: N818
    """A part of the session ended by itself."""
