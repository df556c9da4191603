"""OpenAI's text generation: `POST /v1/chat/completions` and `POST /v1/completions`, whole or streamed."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.routing import Route

from tuneloop_server.feedback.conversation import conversation_text
from tuneloop_server.protocols.completion_request import CompletionRequest, read_chat, read_completion
from tuneloop_server.protocols.completion_response import Completion
from tuneloop_server.protocols.event_stream import DONE, EventStream, begun, event
from tuneloop_server.protocols.openai_errors import error_shape
from tuneloop_server.protocols.protocol import GENERATION_SECONDS, Endpoint, Reply
from tuneloop_server.protocols.tokens import answer_header
from tuneloop_server.user_agent import COMPARATOR

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.requests import Request

    from tuneloop_server.errors import RequestError
    from tuneloop_server.generation.answer import Piece
    from tuneloop_server.lifecycle import ModelService


def completion_routes(service: ModelService, *, protocol: str) -> list[Route]:
    """Return the routes; none where the model does not generate. protocol: the label of the request metrics."""
    if service.task.generating is None:
        return []
    readers = {"/v1/chat/completions": read_chat, "/v1/completions": read_completion}
    return [
        Route(
            path,
            Endpoint(
                service=service,
                protocol=protocol,
                respond=partial(complete, service, read=read),
                error_shape=error_shape,
                seconds=GENERATION_SECONDS,
            ),
            methods=["POST"],
        )
        for path, read in readers.items()
    ]


async def complete(
    service: ModelService, request: Request, body: bytes, *, read: Callable[..., CompletionRequest]
) -> Reply | EventStream:
    """Return what answers a body, or its beginning. Raises RequestError."""
    asked = read(body, named=partial(service.names.require, field="model"))
    generator = service.generator_of(asked.model)
    is_chat = not isinstance(asked.prompt, str)
    prompt = (
        await generator.prompt_of_text(asked.prompt, field=asked.asked.fields[0])
        if isinstance(asked.prompt, str)
        else await generator.prompt_of_messages(asked.prompt)
    )
    generation = generator.generation(prompt, asked.asked)
    completion = Completion(
        id=f"{'chatcmpl' if is_chat else 'cmpl'}-{uuid4().hex}",
        created=int(time.time()),
        model=asked.model,
        revision=service.config.revision,
        is_chat=is_chat,
        include_usage=asked.include_usage,
    )
    is_traffic = request.headers.get("user-agent") != COMPARATOR
    text = asked.prompt if isinstance(asked.prompt, str) else conversation_text(asked.prompt)
    headers = partial(answer_header, service, request, text)
    if not asked.stream:
        generated = await generator.whole(prompt, generation, is_traffic=is_traffic)
        service.monitoring.answered_by(asked.model, texts=1)
        return Reply(json.dumps(completion.whole(generated), ensure_ascii=False).encode(), headers())
    generator.require_stream(generation)
    pieces = generator.pieces(prompt, generation, is_traffic=is_traffic)
    stream = await begun(
        _events(completion, pieces, prompt_tokens=len(prompt.read)), error_event=_error_event, headers=headers
    )
    service.monitoring.answered_by(asked.model, texts=1)
    return stream


async def _events(
    completion: Completion, pieces: AsyncGenerator[Piece], *, prompt_tokens: int
) -> AsyncGenerator[bytes]:
    """Yield the events of an answer. Tokens that complete no text are counted, and make no event."""
    tokens = 0
    async with aclosing(pieces):
        async for piece in pieces:
            if tokens == 0 and completion.is_chat:
                yield event(completion.beginning())
            tokens += 1
            if piece.text:
                yield event(completion.part(piece.text, None if completion.is_chat else piece.finish))
            if piece.finish is not None and (completion.is_chat or not piece.text):
                yield event(completion.part("", piece.finish))
    if completion.include_usage:
        yield event(completion.end(prompt=prompt_tokens, completion=tokens))
    yield DONE


def _error_event(error: RequestError) -> bytes:
    return event(error_shape(error)[1])
