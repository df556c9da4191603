"""How tokens go out: in a header of the answer, so that no protocol's body changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from tuneloop_server.lifecycle import ModelService
    from tuneloop_server.tasks.task import Answer

FEEDBACK_HEADER = "x-tuneloop-feedback"
NONE = "none"
"""A request with this value in the header wants no token, and is in no cohort: those of the comparator, whose answers no client sees."""
MOST_TOKENS = 32
"""In one header, which has 1.9 kB then: some proxies keep 4 kB for all headers of an answer."""


def feedback_headers(service: ModelService, request: Request, answers: Sequence[Answer]) -> dict[str, str]:
    """Return the header with the tokens of the first 32 texts, in their order; nothing where the deployment takes no feedback."""
    feedback = service.feedback
    if feedback is None or not service.task.has_one_label or request.headers.get(FEEDBACK_HEADER) == NONE:
        return {}
    predictions = [answer.predictions[0] for answer in answers[:MOST_TOKENS]]
    return {FEEDBACK_HEADER: ",".join(map(feedback.token, predictions))}
