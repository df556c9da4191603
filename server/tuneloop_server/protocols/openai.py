"""OpenAI's API as far as this server has it: `POST /v1/embeddings`, `GET /v1/models`, `GET /v1/models/{model}`; for text generation see `completions`.

A request is `{"input": text | [text, …], "model": …, "encoding_format": "float" | "base64", "dimensions": …, "user": …}`. An embedding is the mean of
the encoder's last hidden state over the tokens of a text, of L2 norm 1. Token ids as input are refused: a client that sends them has another tokenizer.
Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from starlette.responses import JSONResponse
from starlette.routing import Route

from tuneloop_server.errors import RequestError
from tuneloop_server.fields import check_known, choice, invalid, text_of, wrong
from tuneloop_server.protocols.completions import completion_routes
from tuneloop_server.protocols.json_body import json_object, texts_of
from tuneloop_server.protocols.openai_errors import error_shape
from tuneloop_server.protocols.protocol import Endpoint, Reply, WireProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from tuneloop_server.lifecycle import ModelService
    from tuneloop_server.model import Embedding

    EncodingFormat: TypeAlias = Literal["float", "base64"]

_NAME = "openai"
_FORMATS = ("float", "base64")
_EXAMPLE = 'for example {"input": "A fine film."}'


@dataclass(frozen=True, kw_only=True)
class EmbeddingRequest:
    """A request whose fields are valid. The model still has to have embeddings of this size."""

    texts: list[str]
    model: str
    encoding_format: EncodingFormat = "float"
    dimensions: int | None = None


def read(body: bytes, *, named: Callable[[object], str]) -> EmbeddingRequest:
    """Return what a request asks for. named: (what stands in `model`) → the name that is served, or RequestError. Raises RequestError naming the field that is wrong."""
    document = json_object(body, example=_EXAMPLE)
    # `user` is for OpenAI's own watch over abuse: nothing here reads it
    check_known(document, ("input", "model", "encoding_format", "dimensions", "user"))
    model = named(document.get("model"))
    dimensions = document.get("dimensions")
    if dimensions is not None and type(dimensions) is not int:
        raise wrong("dimensions", dimensions, "expected a whole number, or nothing")
    given = document.get("encoding_format")
    return EmbeddingRequest(
        texts=_texts(document.get("input")),
        model=model,
        encoding_format=cast(
            "EncodingFormat", choice("encoding_format", "float" if given is None else given, _FORMATS)
        ),
        dimensions=dimensions,
    )


async def embed(service: ModelService, body: bytes) -> Reply:
    """Return what answers a body. Raises RequestError."""
    request = read(body, named=partial(service.names.require, field="model"))
    support = service.embeddings_of(request.model)
    if support.size and request.dimensions not in (None, support.size):
        raise wrong("dimensions", request.dimensions, f"allowed is {support.size}, or nothing")
    embedded = await service.embed(request.texts, name=request.model)
    data = []
    for index, (_, embedding) in enumerate(embedded):
        if index:  # the numbers of many texts take long to write: other requests get their turn between two texts
            await asyncio.sleep(0)
        data.append(f'{{"object": "embedding", "index": {index}, "embedding": {_encoded(embedding, request)}}}')
    tokens = sum(len(encoded) for encoded, _ in embedded)
    rest = {"model": request.model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return Reply(f'{{"object": "list", "data": [{", ".join(data)}], {json.dumps(rest)[1:]}'.encode())


def _encoded(embedding: Embedding, request: EmbeddingRequest) -> str:
    """Return an embedding as JSON: a list of numbers, or the bytes of little-endian float32 numbers in base64."""
    if request.encoding_format == "float":
        return json.dumps(embedding.tolist())
    return f'"{base64.b64encode(embedding.astype("<f4").tobytes()).decode()}"'


def _texts(given: object) -> list[str]:
    if not isinstance(given, list):
        return [text_of("input", given, expected=f"expected a string or a list of strings, {_EXAMPLE}")]
    if _are_token_ids(given) or (given and _are_token_ids(given[0])):
        message = (
            "input: token ids were given, expected a string or a list of strings: the ids of another tokenizer mean other words here; "
            "with LangChain: OpenAIEmbeddings(…, check_embedding_ctx_length=False)"
        )
        raise invalid(message, field="input")
    return texts_of("input", given)


def _are_token_ids(given: object) -> bool:
    return isinstance(given, list) and bool(given) and type(given[0]) is int


def _model(service: ModelService, name: str, *, created: int) -> dict[str, object]:
    """The fields of OpenAI's model object, and what is needed to know of its embeddings."""
    fixed = {"id": name, "object": "model", "created": created, "owned_by": "tuneloop"}
    more = {"task": service.manifest.task, "max_tokens": service.manifest_of(service.names.adapter(name)).max_tokens}
    return fixed | more | {"embeddings": _embeddings(service, name)}


def _embeddings(service: ModelService, name: str) -> dict[str, object]:
    try:
        support = service.embeddings_of(name)
    except RequestError as not_loaded:
        return {"available": False, "reason": str(not_loaded)}
    if support.refusal:
        return {"available": False, "reason": support.refusal}
    return {"available": True, "dimensions": support.size, "pooling": "mean", "normalized": True}


def _routes(service: ModelService) -> list[Route]:
    created = int(time.time())

    async def models(_: Request) -> Response:
        return JSONResponse(
            {"object": "list", "data": [_model(service, name, created=created) for name in service.names.served]}
        )

    async def model(request: Request) -> Response:
        try:
            name = service.names.require(request.path_params["model"], field="model")
        except RequestError as error:
            status, shaped = error_shape(error)
            return JSONResponse(shaped, status_code=status)
        return JSONResponse(_model(service, name, created=created))

    handler = Endpoint(
        service=service, protocol=_NAME, respond=lambda _, body: embed(service, body), error_shape=error_shape
    )
    return [
        Route("/v1/embeddings", handler, methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{model}", model, methods=["GET"]),
        *completion_routes(service, protocol=_NAME),
    ]


OPENAI = WireProtocol(name=_NAME, routes=_routes, prefix="/v1/", error_shape=error_shape)
