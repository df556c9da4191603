"""What the operator must remember of a trigger of `spec.retraining`, in the status of a ModelDeployment. Times are RFC 3339 in UTC, whole seconds."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from tuneloop_api.v1alpha1.common import ShortText
from tuneloop_api.wire.model import MessageModel, Open

TriggerStateWord: TypeAlias = Literal["Inactive", "Pending", "Firing", "Unknown"]
Time: TypeAlias = ShortText


class ShareStatus(MessageModel):
    """Right answers among labels."""

    right: float
    """Number of labels for a right answer."""
    labels: float
    """Number of all labels."""


class TriggerMemoryStatus(MessageModel):
    """What the operator must remember of a trigger, so that a restart neither loses evidence nor counts it twice."""

    name: ShortText
    """Name of the trigger in the spec."""
    fields: ShortText | None = None
    """Digest of the trigger's fields. Absent: not looked at yet."""
    revision: ShortText | None = None
    """Hash of the stable revision that was judged. Absent: the trigger is about no revision."""
    state: Annotated[TriggerStateWord, Open("Unknown")] = "Inactive"
    """Inactive, Pending (beyond its limit, and not for long enough), Firing, or Unknown (there are no data)."""
    since: Time | None = None
    """Begin of the state. Absent: none was reported."""
    beyond_since: Time | None = None
    """First number of the unbroken row beyond the limit. Absent: the newest number is not beyond it."""
    clear_since: Time | None = None
    """First number of the unbroken row that is back, of a trigger that fires. Absent: there is none."""
    read_at: Time | None = None
    """Newest number that counted. Absent: the next number counts whenever it comes."""
    fired_key: ShortText | None = None
    """Digest of the evidence that the trigger fires on. Absent: it does not fire."""
    baseline: ShareStatus | None = None
    """First mature labels of the revision. Absent: there are too few, or they are not compared."""
    slot: Time | None = None
    """Newest time of the schedule that has come. Absent: there is no schedule, or none has come."""
    shown_at: Time | None = None
    """When what the trigger says was last written. Numbers alone are written once in five minutes."""
    token: ShortText | None = None
    """Digest of the annotation that asks for nothing any more, empty for none. Absent: it was not looked at yet."""
