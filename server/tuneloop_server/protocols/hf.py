"""The Hugging Face task API for text classification.

`{"inputs": text | [text, …], "parameters": {"top_k": int, "function_to_apply": "softmax" | "sigmoid" | "none"}}` is answered with
`[{"label", "score"}, …]` for one text and a list of such lists for a list, best label first; all labels without `top_k`.
Source: https://huggingface.co/docs/inference-providers/tasks/text-classification (body: array of objects), which is also what
`pipeline("text-classification")(text, top_k=None)` returns. An unknown field is refused, except `options`, with which old clients of the
hosted service steer its cache, and which never changes an answer.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from tuneloop_server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.predictions import Prediction

NAME = "hf"
_EXAMPLE = 'for example {"inputs": "A fine film."}'
_TOP = ("inputs", "parameters", "options")
_PARAMETERS = ("top_k", "function_to_apply")
_FUNCTIONS = ("softmax", "sigmoid", "none")


@dataclass(frozen=True, kw_only=True)
class HfRequest:
    """A request that was understood."""

    texts: list[str]
    many: bool
    """`inputs` was a list, so the answer is a list of lists."""
    top_k: int | None
    function: Literal["softmax", "sigmoid", "none"]


def read(body: bytes) -> HfRequest:
    """Return what a request asks for. Raises RequestError: 400 if the body is not JSON, 422 naming the field that is wrong."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise RequestError("the body is nested too deeply to be read", status=400, reason="validation") from None
    except ValueError as error:
        raise RequestError(f"the body is not JSON ({error}); {_EXAMPLE}", status=400, reason="validation") from error
    if not isinstance(document, dict):
        _refuse("the body", document, f"expected an object, {_EXAMPLE}")
    _known(document, _TOP, above="")
    if "inputs" not in document:
        raise RequestError(f"inputs: is missing, {_EXAMPLE}", status=422, reason="validation")
    parameters = document.get("parameters")
    parameters = {} if parameters is None else parameters
    if not isinstance(parameters, dict):
        _refuse("parameters", parameters, 'expected an object, for example {"top_k": 2}')
    _known(parameters, _PARAMETERS, above="parameters.")
    inputs = document["inputs"]
    return HfRequest(
        texts=_texts(inputs),
        many=isinstance(inputs, list),
        top_k=_top_k(parameters.get("top_k")),
        function=_function(parameters.get("function_to_apply")),
    )


def write(request: HfRequest, predictions: Sequence[Prediction], *, labels: Sequence[str]) -> bytes:
    """Return the answer's JSON."""
    rows = [_row(request, prediction, labels) for prediction in predictions]
    return json.dumps(rows if request.many else rows[0], ensure_ascii=False).encode()


def _row(request: HfRequest, prediction: Prediction, labels: Sequence[str]) -> list[dict[str, Any]]:
    scores = _scores(request, prediction)
    best_first = sorted(range(len(labels)), key=scores.__getitem__, reverse=True)
    return [{"label": labels[index], "score": scores[index]} for index in best_first[: request.top_k]]


def _scores(request: HfRequest, prediction: Prediction) -> list[float]:
    if request.function == "softmax":
        return prediction.probabilities
    if request.function == "none":
        return prediction.logits
    return [0.5 * (1.0 + math.tanh(0.5 * logit)) for logit in prediction.logits]  # sigmoid, without overflow


def _texts(inputs: object) -> list[str]:
    if not isinstance(inputs, list):
        return [_text("inputs", inputs, "expected a string or a list of strings")]
    if not inputs:
        raise RequestError("inputs: is an empty list; at least one text is needed", status=422, reason="validation")
    return [_text(f"inputs[{index}]", text, "expected a string") for index, text in enumerate(inputs)]


def _text(field: str, text: object, expected: str) -> str:
    if not isinstance(text, str):
        _refuse(field, text, expected)
    if not text.isascii() and not _is_unicode(text):
        raise RequestError(
            f"{field}: holds half of a surrogate pair, which is no character", status=422, reason="validation"
        )
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _top_k(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        _refuse("parameters.top_k", value, "expected a whole number from 1, or null for all labels")
    return value


def _function(value: object) -> Any:
    if value is None:
        return "softmax"
    if value not in _FUNCTIONS:
        _refuse("parameters.function_to_apply", value, f"allowed are {', '.join(_FUNCTIONS)}")
    return value


def _known(given: dict[str, Any], allowed: tuple[str, ...], *, above: str) -> None:
    for name in given:
        if name not in allowed:
            message = f"{above}{_shown(name)}: is not known; allowed are {', '.join(allowed)}"
            raise RequestError(message, status=422, reason="validation")


def _refuse(field: str, given: object, allowed: str) -> NoReturn:
    raise RequestError(f"{field}: {_shown(given)} was given, {allowed}", status=422, reason="validation")


def _shown(value: object) -> str:
    """Return a value as JSON in one short line, safe to encode."""
    try:
        text = json.dumps(value)[1:-1] if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        text = "a deeply nested value"
    return text if len(text) <= 60 else f"{text[:60]}…"
