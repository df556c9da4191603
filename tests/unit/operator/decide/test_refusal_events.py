"""A refusal makes an Event, once for each reason and message: what is stored of a message has escapes in place of unsafe characters."""

from __future__ import annotations

import pytest
from observed_jobs import STAMP

from tuneloop_api.v1alpha1.common import Condition
from tuneloop_api.wire.printable import printable
from tuneloop_operator.decide.refusal import refusal_events


def accepted(message: str, *, status: str = "False", reason: str = "JobNotReadable") -> list[Condition]:
    fields = {"type": "Accepted", "status": status, "reason": reason, "message": message, "lastTransitionTime": STAMP}
    return [Condition.from_wire(fields)]


@pytest.mark.parametrize(
    ("before", "after", "messages"),
    [
        pytest.param(None, accepted("a"), ["a"], id="the first refusal"),
        pytest.param(accepted("a"), accepted("a"), [], id="the same again"),
        pytest.param(accepted("a"), accepted("b"), ["b"], id="another message"),
        pytest.param(accepted("a", reason="TwoSecrets"), accepted("a"), ["a"], id="another reason"),
        pytest.param(accepted("a"), accepted("", status="True"), [], id="no refusal any more"),
        pytest.param(None, accepted("x\u202e\x07"), ["x\\u202e\\x07"], id="unsafe characters"),
        pytest.param(accepted(printable("x\u202e")), accepted("x\u202e"), [], id="the same again as it is stored"),
    ],
)
def test_a_refusal_makes_one_event_that_is_safe_to_show(
    before: list[Condition] | None, after: list[Condition], messages: list[str]
) -> None:
    assert [event.message for event in refusal_events(before, after)] == messages
