"""The Hugging Face task API: `POST /` and `POST /predict`.

A request is `{"inputs": text | [text, …], "parameters": {…}}`; what stands for a text is the task's, such as a question with its context. A text is answered with the response of the task, a list of texts with a list of
responses. Parameters and responses are the task's (`tuneloop_server.tasks`). `"stream": true` is for tasks that generate. Other fields are refused, except `options`: old clients of the
hosted service send it to steer that service's cache, and it never changes an answer.
An adapter is asked for in the address: `POST /predict?adapter=NAME`. Any client takes an address, and the copies that the comparator gets keep it.
Source: https://huggingface.co/docs/inference-providers/tasks
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from starlette.routing import Route

from tuneloop_server.fields import check_known, invalid, wrong
from tuneloop_server.prediction_paths import HF_PATHS
from tuneloop_server.protocols.hf_stream import generator_that_streams, streamed
from tuneloop_server.protocols.json_body import json_object, require_texts
from tuneloop_server.protocols.protocol import GENERATION_SECONDS, Endpoint, Reply, WireProtocol
from tuneloop_server.protocols.tokens import answer_header, feedback_headers
from tuneloop_server.tasks.task import read_text
from tuneloop_server.user_agent import COMPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from tuneloop_server.lifecycle import ModelService
    from tuneloop_server.protocols.event_stream import EventStream

_NAME = "hf"
ADAPTER_PARAMETER = "adapter"
_EXAMPLE = 'for example {"inputs": "A fine film."}'


@dataclass(frozen=True, kw_only=True)
class HfRequest:
    """A request whose fields are valid. The task still has to read the parameters."""

    texts: list[str]
    is_list: bool
    """`inputs` was a list, so the answer is a list of responses."""
    parameters: dict[str, object]
    """Without nulls, which stand for the default."""
    stream: bool = False
    """The answer to the one text is sent as it grows."""


def read(body: bytes, *, read_input: Callable[[str, object], str] = read_text) -> HfRequest:
    """Return what a request asks for. read_input: `Task.read_input`. Raises RequestError: 400 if the body is not JSON, 422 naming the field that is wrong."""
    document = json_object(body, example=_EXAMPLE)
    check_known(document, ("inputs", "parameters", "options", "stream"))
    if "inputs" not in document:
        raise invalid(f"inputs: is missing, {_EXAMPLE}", field="inputs")
    inputs = document["inputs"]
    parameters = document.get("parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise wrong("parameters", parameters, 'expected an object, for example {"top_k": 2}')
    return HfRequest(
        texts=_texts(inputs, read_input),
        is_list=isinstance(inputs, list),
        parameters={name: value for name, value in parameters.items() if value is not None},
        stream=_stream(document.get("stream"), inputs),
    )


async def answer(service: ModelService, request: Request, body: bytes) -> Reply | EventStream:
    """Return what answers a body, or its beginning. Raises RequestError."""
    adapter = request.query_params.get(ADAPTER_PARAMETER) if request.scope["query_string"] else None
    name = service.names.require(adapter, field=ADAPTER_PARAMETER)
    asked = read(body, read_input=service.task.read_input)
    parameters = service.task.read_parameters(asked.parameters)
    is_traffic = request.headers.get("user-agent") != COMPARATOR
    if asked.stream:
        generator = generator_that_streams(service, name)
    if asked.stream and is_traffic:  # the comparator compares whole answers
        headers = partial(answer_header, service, request, asked.texts[0])
        stream = await streamed(generator, asked.texts[0], parameters, headers=headers)
        service.monitoring.answered_by(name, texts=1)
        return stream
    answers = await service.answers(asked.texts, parameters, name=name, is_traffic=is_traffic)
    values = [found.value for found in answers]
    content = json.dumps(values if asked.is_list else values[0], ensure_ascii=False).encode()
    return Reply(content, feedback_headers(service, request, asked.texts, answers))


def _routes(service: ModelService) -> list[Route]:
    seconds = None if service.task.generating is None else GENERATION_SECONDS
    handler = Endpoint(service=service, protocol=_NAME, respond=partial(answer, service), seconds=seconds)
    return [Route(path, handler, methods=["POST"]) for path in HF_PATHS]


def _stream(given: object, inputs: object) -> bool:
    if given is not None and not isinstance(given, bool):
        raise wrong("stream", given, "allowed are true and false")
    if given and isinstance(inputs, list):
        raise invalid("stream: one text is streamed in a request, and inputs is a list; send a string", field="stream")
    return bool(given)


def _texts(inputs: object, read_input: Callable[[str, object], str]) -> list[str]:
    if not isinstance(inputs, list):
        return [read_input("inputs", inputs)]
    require_texts("inputs", inputs)
    return [read_input(f"inputs[{index}]", value) for index, value in enumerate(inputs)]


HF = WireProtocol(name=_NAME, routes=_routes)
