"""Streams of the Hugging Face task API: an event for each token, and the whole text in the last one.

Source: https://huggingface.co/docs/text-generation-inference/conceptual/streaming
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from tuneloop_server.fields import invalid
from tuneloop_server.protocols.event_stream import EventStream, begun, event
from tuneloop_server.tasks.text_generation import token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from tuneloop_server.errors import RequestError
    from tuneloop_server.generating import TextGenerator
    from tuneloop_server.generation.answer import Generation, Prompt
    from tuneloop_server.lifecycle import ModelService


def generator_that_streams(service: ModelService, name: str) -> TextGenerator:
    """Return what answers prompts. Raises RequestError if the model does not generate."""
    if service.task.generating is None:
        message = f"stream: true was given, and an answer of {service.task.name} comes as a whole; leave it out"
        raise invalid(message, field="stream")
    return service.generator_of(name)


async def streamed(
    generator: TextGenerator,
    text: str,
    parameters: Any,
    *,
    headers: Callable[[], Mapping[str, str]],
) -> EventStream:
    """Return the beginning of what answers a text. parameters: of the task; headers: of the response. Raises RequestError."""
    asked = generator.generating.asked(parameters)
    prompt = await generator.prompt_of_text(text, field=asked.fields[0])
    generation = generator.generation(prompt, asked)
    generator.require_stream(generation)
    return await begun(_events(generator, prompt, generation, parameters), error_event=_error_event, headers=headers)


async def _events(
    generator: TextGenerator, prompt: Prompt, generation: Generation, parameters: Any
) -> AsyncGenerator[bytes]:
    texts: list[str] = []
    generating = generator.generating
    async with aclosing(generator.pieces(prompt, generation)) as pieces:
        async for piece in pieces:
            texts.append(piece.text)
            last: dict[str, object] = {"generated_text": None, "details": None}
            if piece.finish is not None:
                details = {"finish_reason": piece.finish, "generated_tokens": len(texts)}
                last = {
                    "generated_text": generating.whole_text(prompt.text, "".join(texts), parameters),
                    "details": details
                    | {"input_length": len(prompt.read), "seed": generating.asked(parameters).sampling.seed},
                }
            yield event({"index": len(texts), "token": token(piece), **last})


def _error_event(error: RequestError) -> bytes:
    return event({"error": str(error), "error_type": error.reason})
