"""The Open Inference Protocol, version 2, in JSON: what KServe, Triton and their clients speak.

`GET /v2`, `/v2/health/live`, `/v2/health/ready`, `/v2/models/{model}`, `…/ready`, `POST /v2/models/{model}/infer`; a model's paths also as
`/v2/models/{model}/versions/{version}…`. The model is the deployment or an adapter, its only version the revision. The tensors of a request are read in
`oip_request`, those of a response are the task's (`Task.tensors`). The binary extension of Triton is refused by its names.
Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import json
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.routing import Route

from tuneloop_server.errors import RequestError, plain_error
from tuneloop_server.fields import shown
from tuneloop_server.protocols.oip_request import INPUT, read
from tuneloop_server.protocols.protocol import GENERATION_SECONDS, Endpoint, Reply, WireProtocol
from tuneloop_server.protocols.tokens import feedback_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from tuneloop_server.lifecycle import ModelService
    from tuneloop_server.tasks.task import OutputTensor

_NAME = "oip"
_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"
_BINARY_HEADER = "inference-header-content-length"


def model_asked_for(service: ModelService, request: Request) -> str:
    """Return the name of the model in the path; the deployment's if it names none. Raises RequestError unless the path names what is served."""
    version = request.path_params.get("version", service.config.revision)
    name = request.path_params.get("model")
    if name is not None:
        name = service.names.require(name, field="model", may_be_absent=False)
    if version != service.config.revision:
        message = f"version: {shown(version)} is not served here; allowed is {service.config.revision}"
        raise RequestError(message, status=404, reason="validation", field="version")
    return name or service.config.name


def error_shape(error: RequestError) -> tuple[int, object]:
    """Return `{"error": …}`, which the protocol asks for. A request that is wrong has status 400."""
    status, shaped = plain_error(error)
    return 400 if status == 422 else status, shaped


async def infer(service: ModelService, request: Request, body: bytes) -> Reply:
    """Return what answers a body. Raises RequestError."""
    model = model_asked_for(service, request)
    if _BINARY_HEADER in request.headers:
        message = (
            "Inference-Header-Content-Length: the binary extension is not supported, send JSON; "
            "with tritonclient: set_data_from_numpy(…, binary_data=False) and InferRequestedOutput(…, binary_data=False)"
        )
        raise RequestError(message, status=400, reason="validation")
    asked = read(body, task=service.task, model=model, version=service.config.revision)
    answers = await service.answers(asked.texts, service.task.read_parameters(asked.parameters), name=model)
    values = [found.value for found in answers]
    labels = service.manifest.labels
    response: dict[str, object] = {"model_name": model, "model_version": service.config.revision}
    if asked.id is not None:
        response["id"] = asked.id
    response["outputs"] = [_tensor(output, values, labels) for output in asked.outputs]
    content = json.dumps(response, ensure_ascii=False).encode()
    return Reply(content, feedback_headers(service, request, asked.texts, answers))


def _tensor(output: OutputTensor, values: Sequence[Any], labels: Sequence[str]) -> dict[str, object]:
    data = [element for value in values for element in output.row(value, labels)]
    shape = _shape(output, len(values), labels)
    return {"name": output.name, "datatype": output.datatype, "shape": shape, "data": data}


def _shape(output: OutputTensor, texts: int, labels: Sequence[str]) -> list[int]:
    return [texts, len(labels)] if output.is_by_label else [texts]


def _server_metadata(_: ModelService, __: str) -> dict[str, object]:
    return {"name": "tuneloop", "version": _release(), "extensions": []}


def _release() -> str:
    try:
        return version("tuneloop")
    except PackageNotFoundError:
        return "unknown"


def _model_metadata(service: ModelService, model: str) -> dict[str, object]:
    """The protocol has numbers, booleans and strings as parameters, so the labels and the names of all models are JSON in a string."""
    labels = service.manifest.labels
    outputs = [
        {"name": output.name, "datatype": output.datatype, "shape": _shape(output, -1, labels)}
        for output in service.task.tensors.outputs
    ]
    parameters = {"task": service.manifest.task, "labels": json.dumps(labels, ensure_ascii=False)}
    if service.names.adapters:
        parameters["models"] = json.dumps(service.names.served)
    return {
        "name": model,
        "versions": [service.config.revision],
        "platform": "tuneloop",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": outputs,
        "parameters": parameters,
    }


def _live(_: ModelService, __: str) -> dict[str, object]:
    return {"live": True}


def _ready(service: ModelService, _: str) -> dict[str, object]:
    if service.not_ready_reason is not None:
        raise RequestError(service.not_ready_reason, status=503, reason="unavailable")
    return {"ready": True}


def _model_ready(service: ModelService, model: str) -> dict[str, object]:
    return {"name": model} | _ready(service, model)


def _page(service: ModelService, content: Callable[[ModelService, str], dict[str, object]]) -> Callable[[Request], Any]:
    async def page(request: Request) -> Response:
        try:
            return JSONResponse(content(service, model_asked_for(service, request)))
        except RequestError as error:
            status, shaped = error_shape(error)
            return JSONResponse(shaped, status_code=status)

    return page


def _routes(service: ModelService) -> list[Route]:
    pages = {
        "/v2": _server_metadata,
        "/v2/health/live": _live,
        "/v2/health/ready": _ready,
        _MODEL: _model_metadata,
        f"{_MODEL}/ready": _model_ready,
        _VERSION: _model_metadata,
        f"{_VERSION}/ready": _model_ready,
    }
    handler = Endpoint(
        service=service,
        protocol=_NAME,
        respond=partial(infer, service),
        error_shape=error_shape,
        seconds=None if service.task.generating is None else GENERATION_SECONDS,
    )
    return [
        *[Route(path, _page(service, content), methods=["GET"]) for path, content in pages.items()],
        *[Route(f"{path}/infer", handler, methods=["POST"]) for path in (_MODEL, _VERSION)],
    ]


OIP = WireProtocol(name=_NAME, routes=_routes)
