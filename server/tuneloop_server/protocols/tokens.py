"""The tokens that go out with an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_server.feedback.header import FEEDBACK_HEADER, NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from tuneloop_server.feedback.feedback import Feedback
    from tuneloop_server.lifecycle import ModelService
    from tuneloop_server.tasks.task import Answer

MOST_TOKENS = 32
"""In one header, which has 1.9 kB then, or 2.3 kB where texts are kept: some proxies keep 4 kB for all headers of an answer."""


def feedback_headers(
    service: ModelService, request: Request, texts: Sequence[str], answers: Sequence[Answer]
) -> dict[str, str]:
    """Return the header with the tokens of the first 32 texts, in their order; nothing where the deployment takes no feedback."""
    feedback = _wanted(service, request)
    if feedback is None or not service.task.takes_feedback:
        return {}
    if service.task.generating is not None:
        return {FEEDBACK_HEADER: ",".join(map(feedback.answer_token, texts[:MOST_TOKENS]))}
    predictions = [answer.predictions[0] for answer in answers[:MOST_TOKENS]]
    return {FEEDBACK_HEADER: ",".join(map(feedback.token, predictions, texts))}


def answer_header(service: ModelService, request: Request, text: str) -> dict[str, str]:
    """Return the header with the token of a generated answer, which may not be there yet. text: of the prompt, as feedback has it."""
    feedback = _wanted(service, request)
    return {} if feedback is None else {FEEDBACK_HEADER: feedback.answer_token(text)}


def _wanted(service: ModelService, request: Request) -> Feedback | None:
    return None if request.headers.get(FEEDBACK_HEADER) == NONE else service.feedback
