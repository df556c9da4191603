"""The Hugging Face task API: `POST /` and `POST /predict`.

A request is `{"inputs": text | [text, …], "parameters": {…}}`. A text is answered with the response of the task, a list of texts with a list of
responses. Parameters and responses are the task's (`tuneloop_server.tasks`). Other fields are refused, except `options`: old clients of the
hosted service send it to steer that service's cache, and it never changes an answer.
An adapter is asked for in the address: `POST /predict?adapter=NAME`. Any client takes an address, and the copies that the comparator gets keep it.
Source: https://huggingface.co/docs/inference-providers/tasks
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.routing import Route

from tuneloop_server.fields import check_known, invalid, wrong
from tuneloop_server.protocols.json_body import json_object, text_of, texts_of
from tuneloop_server.protocols.paths import HF_PATHS
from tuneloop_server.protocols.protocol import WireProtocol, endpoint

if TYPE_CHECKING:
    from starlette.requests import Request

    from tuneloop_server.lifecycle import ModelService

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


def read(body: bytes) -> HfRequest:
    """Return what a request asks for. Raises RequestError: 400 if the body is not JSON, 422 naming the field that is wrong."""
    document = json_object(body, example=_EXAMPLE)
    check_known(document, ("inputs", "parameters", "options"))
    if "inputs" not in document:
        raise invalid(f"inputs: is missing, {_EXAMPLE}", field="inputs")
    inputs = document["inputs"]
    parameters = document.get("parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise wrong("parameters", parameters, 'expected an object, for example {"top_k": 2}')
    return HfRequest(
        texts=_texts(inputs),
        is_list=isinstance(inputs, list),
        parameters={name: value for name, value in parameters.items() if value is not None},
    )


async def answer(service: ModelService, body: bytes, *, adapter: str | None = None) -> bytes:
    """Return the JSON that answers a body. Raises RequestError. adapter: its name, where the client asks for one."""
    name = service.names.require(adapter, field=ADAPTER_PARAMETER)
    request = read(body)
    parameters = service.task.read_parameters(request.parameters)
    values = await service.answer(request.texts, parameters, name=name)
    return json.dumps(values if request.is_list else values[0], ensure_ascii=False).encode()


def _routes(service: ModelService) -> list[Route]:
    async def respond(request: Request, body: bytes) -> bytes:
        return await answer(service, body, adapter=request.query_params.get(ADAPTER_PARAMETER))

    handler = endpoint(service, protocol=_NAME, respond=respond)
    return [Route(path, handler, methods=["POST"]) for path in HF_PATHS]


def _texts(inputs: object) -> list[str]:
    if isinstance(inputs, list):
        return texts_of("inputs", inputs)
    return [text_of("inputs", inputs, expected="expected a string or a list of strings")]


HF = WireProtocol(name=_NAME, routes=_routes)
