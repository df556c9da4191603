"""The errors of this package. A message is for the person who ran the command.

ClusterError          a program of the cluster did not start, or the request does not fit what runs
├── BuildError        a program could not be built
├── ToolchainError    there is no usable Go, and none could be installed
└── MachineError      this machine lacks something that a node needs: rights, a kernel feature, a package
"""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster could not be started or used; where a program failed, the message ends with its log."""


class BuildError(ClusterError):
    """A program could not be built; the message says which, and ends with the compiler's last lines."""


class ToolchainError(ClusterError):
    """There is no usable Go, and none could be installed."""


class MachineError(ClusterError):
    """This machine cannot run a node; the message says what is missing and how to get it."""
