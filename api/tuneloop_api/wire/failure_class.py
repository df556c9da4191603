"""The classes of failure: they decide what follows, and users name them in `failurePolicy.rules`."""

from __future__ import annotations

from enum import StrEnum


class FailureClass(StrEnum):
    """What went wrong, as far as it decides what happens next."""

    OUT_OF_MEMORY_GPU = "OutOfMemoryGpu"
    OUT_OF_MEMORY_HOST = "OutOfMemoryHost"
    COLLECTIVE = "Collective"
    HANG = "Hang"
    STORAGE = "Storage"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    PREEMPTED = "Preempted"
    NON_FINITE_LOSS = "NonFiniteLoss"
    USER_CODE = "UserCode"
    DATA = "Data"
    CONFIG = "Config"
    MODEL_ACCESS = "ModelAccess"
    IMAGE_PULL = "ImagePull"
    CHECKPOINT_LOST = "CheckpointLost"
    PREPARED_DATA_LOST = "PreparedDataLost"
    START_DEADLINE = "StartDeadline"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    BUDGET_EXCEEDED = "BudgetExceeded"
    UNKNOWN = "Unknown"
