"""The classes of failure of a model server: why a revision cannot be served. Reasons of conditions and `status.failure.class` are these words."""

from __future__ import annotations

from enum import StrEnum


class ServingFailureClass(StrEnum):
    """What went wrong before a server answers, or ended it."""

    ARTIFACT_MISSING = "ArtifactMissing"
    """There is no artifact in the folder."""
    ARTIFACT_NOT_READABLE = "ArtifactNotReadable"
    """There is something in the folder, and the server may not read it, or the volume is faulty."""
    DIGEST_MISMATCH = "DigestMismatch"
    """The files, or the manifest, are not those that were published."""
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    """The files are as they were published, and this server cannot load them."""
    OUT_OF_MEMORY = "OutOfMemory"
    """The server needs more memory than it may use."""
    IMAGE_PULL = "ImagePull"
    """The kubelet cannot pull the image, or there is no such image."""
    SERVER_ENDED = "ServerEnded"
    """The server ended with an error that no other class names."""


OF_ARTIFACT = frozenset(
    {
        ServingFailureClass.ARTIFACT_MISSING,
        ServingFailureClass.ARTIFACT_NOT_READABLE,
        ServingFailureClass.DIGEST_MISMATCH,
        ServingFailureClass.MODEL_LOAD_FAILED,
    }
)
"""With which the condition ModelAvailable is False, too."""
