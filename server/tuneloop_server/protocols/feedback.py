"""The page that takes feedback: `POST /v1/feedback`.

A request is `{"token": …, "label": name | id}` or `{"token": …, "correct": true | false}`, of a generated answer `{"token": …, "score": 0 to 1}` or
`{"token": …, "correction": text}`, or a list of such objects, which are counted all or none. It is answered
`{"counted": n, "repeated": m}`. To send it again is safe: a token counts once in a process. `"input"` beside the label is the text of the prediction, for a deployment that
keeps texts, and `"source": "audit"` says that the prediction was drawn at random to be labelled.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.routing import Route

from tuneloop_api.contract.router import CLIENT_HEADER
from tuneloop_server.errors import RequestError, plain_error
from tuneloop_server.feedback.conversation import conversation_text
from tuneloop_server.feedback.errors import RefusedFeedback
from tuneloop_server.feedback.request import ReadInput, read
from tuneloop_server.protocols.completion_request import read_messages
from tuneloop_server.protocols.protocol import Endpoint, Reply

if TYPE_CHECKING:
    from starlette.requests import Request

    from tuneloop_server.feedback.feedback import Feedback
    from tuneloop_server.lifecycle import ModelService

FEEDBACK_PATH = "/v1/feedback"
_NAME = "feedback"


def feedback_routes(service: ModelService) -> list[Route]:
    """Return the page that takes feedback; none where the deployment takes none."""
    feedback = service.feedback
    if feedback is None:
        return []

    async def respond(request: Request, body: bytes) -> Reply:
        return Reply(take(service, feedback, body, client=request.headers.get(CLIENT_HEADER, "")))

    handler = Endpoint(service=service, protocol=_NAME, respond=respond, error_shape=_error_shape)
    return [Route(FEEDBACK_PATH, handler, methods=["POST"])]


def take(service: ModelService, feedback: Feedback, body: bytes, *, client: str = "") -> bytes:
    """Return the JSON that answers a body. client: who sends it; empty if nobody knows. Raises RequestError."""
    if not service.task.takes_feedback:
        message = f"feedback: a text of {service.task.name} has no single label that could be right; feedback is for text-classification, and for tasks that generate text"
        raise RequestError(message, status=400, reason="validation")
    try:
        items = read(body, generates=True, read_input=_prompt) if service.task.generating is not None else read(body)
        counted, repeated = feedback.take(items, client=client)
    except RefusedFeedback as refused:
        raise RequestError(str(refused), status=400, reason="validation") from None
    return json.dumps({"counted": counted, "repeated": repeated}).encode()


def _prompt(field: str, value: object) -> ReadInput:
    """Return what a generated answer was asked for: a prompt, or the messages of a chat. Raises RequestError."""
    if isinstance(value, str):
        return ReadInput(value, "prompt-completion")
    return ReadInput(conversation_text(read_messages(value, field=field)), "messages")


def _error_shape(error: RequestError) -> tuple[int, object]:
    """Return `{"error": …}`. A request that is wrong has status 400."""
    status, shaped = plain_error(error)
    return 400 if status == 422 else status, shaped
