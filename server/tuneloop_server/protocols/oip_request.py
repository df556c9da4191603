"""The body of an inference request of the Open Inference Protocol: one tensor of texts, `{"name": "text", "datatype": "BYTES", "shape": [n], "data": […]}`.

Every error names the field. What other servers understand and this one does not, such as tensors in binary form, is refused by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_server.fields import check_known, choice, invalid, shown, text_of, wrong
from tuneloop_server.protocols.json_body import json_object, texts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneloop_server.tasks.task import OutputTensor, Task

INPUT = "text"
_EXAMPLE = 'for example {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["A fine film."]}]}'
_NO_BINARY = "the binary extension is not supported; allowed is JSON, with tritonclient"
_BINARY_INPUT = f"{_NO_BINARY}: set_data_from_numpy(…, binary_data=False)"
_BINARY_OUTPUT = f'{_NO_BINARY}: infer(…, outputs=[InferRequestedOutput("NAME", binary_data=False)])'


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """A request whose fields are valid. The task still has to read the parameters."""

    texts: list[str]
    outputs: list[OutputTensor]
    """In the order in which they were asked for."""
    parameters: dict[str, object]
    """For the task."""
    id: str | None
    """Sent back as it is."""


def read(body: bytes, *, task: Task[Any], model: str, version: str) -> InferRequest:
    """Return what a request asks for. model, version: what is served. Raises RequestError naming the field that is wrong."""
    document = json_object(body, example=_EXAMPLE)
    # KServe's client sends the two names that stand in the path
    check_known(document, ("inputs", "outputs", "parameters", "id", "model_name", "model_version"))
    for field, served in (("model_name", model), ("model_version", version)):
        if document.get(field) not in (None, "", served):
            raise wrong(field, document[field], f'allowed is "{served}", or nothing')
    identifier = document.get("id")
    return InferRequest(
        texts=_texts(document.get("inputs")),
        outputs=_outputs(document.get("outputs"), task.tensors.outputs),
        parameters=_parameters(document.get("parameters"), task.tensors.refused_parameters),
        id=None if identifier is None else text_of("id", identifier),
    )


def _texts(inputs: object) -> list[str]:
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise wrong("inputs", inputs, f"expected a list of one tensor, {_EXAMPLE}")
    tensor = _object("inputs[0]", inputs[0], _EXAMPLE)
    parameters = _optional_object("inputs[0].parameters", tensor.get("parameters"))
    if "binary_data_size" in parameters:
        raise invalid(
            f"inputs[0].parameters.binary_data_size: {_BINARY_INPUT}", field="inputs[0].parameters.binary_data_size"
        )
    check_known(parameters, ("content_type",), prefix="inputs[0].parameters.")  # MLServer's clients send "str"
    check_known(tensor, ("name", "datatype", "shape", "data", "parameters"), prefix="inputs[0].")
    choice("inputs[0].name", tensor.get("name"), (INPUT,))
    choice("inputs[0].datatype", tensor.get("datatype"), ("BYTES",))
    count = _count(tensor.get("shape"))
    data = tensor.get("data")
    if not isinstance(data, list):
        raise wrong("inputs[0].data", data, 'expected a list of strings; for example ["A fine film."]')
    if len(data) != count:
        raise invalid(
            f"inputs[0].data: has {len(data)} elements, expected as many as in shape: {shown(count)}",
            field="inputs[0].data",
        )
    if _is_column(tensor["shape"]):
        data = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in data]
    return texts_of("inputs[0].data", data)


def _count(shape: object) -> int:
    """Return n of the shape [n] or [n, 1]."""
    if isinstance(shape, list) and all(type(size) is int for size in shape):
        sizes: list[int] = shape
        if (len(sizes) == 1 or _is_column(sizes)) and sizes[0] >= 1:
            return sizes[0]
    expected = "expected [n] or [n, 1] for n texts, at least one; for example [1]"
    raise wrong("inputs[0].shape", shape, expected)


def _is_column(sizes: Any) -> bool:
    return len(sizes) == 2 and sizes[1] == 1


def _outputs(asked: object, all_outputs: Sequence[OutputTensor]) -> list[OutputTensor]:
    """Return the outputs that are asked for: all without `outputs`."""
    if asked is None or asked == []:
        return list(all_outputs)
    by_name = {output.name: output for output in all_outputs}
    example = f'for example [{{"name": "{next(iter(by_name))}"}}]'
    if not isinstance(asked, list):
        raise wrong("outputs", asked, f"expected a list of objects, {example}")
    names = [_output_name(f"outputs[{index}]", output, tuple(by_name), example) for index, output in enumerate(asked)]
    if len(set(names)) < len(names):
        raise wrong("outputs", names, "expected each name once")
    return [by_name[name] for name in names]


def _output_name(field: str, asked: object, allowed: Sequence[str], example: str) -> str:
    output = _object(field, asked, example)
    # servers send the tensors of metadata, and clients may send them back
    check_known(output, ("name", "parameters", "datatype", "shape"), prefix=f"{field}.")
    parameters = _optional_object(f"{field}.parameters", output.get("parameters"))
    check_known(parameters, ("binary_data",), prefix=f"{field}.parameters.")
    _refuse_binary(f"{field}.parameters.binary_data", parameters.get("binary_data"))
    return choice(f"{field}.name", output.get("name"), allowed)


def _parameters(given: object, refused: Mapping[str, str]) -> dict[str, object]:
    parameters = _optional_object("parameters", given)
    _refuse_binary("parameters.binary_data_output", parameters.get("binary_data_output"))
    for name, reason in refused.items():
        if parameters.get(name) is not None:
            raise wrong(f"parameters.{name}", parameters[name], f"but {reason}; leave it out")
    return {name: value for name, value in parameters.items() if value is not None and name != "binary_data_output"}


def _refuse_binary(field: str, value: object) -> None:
    if value not in (None, False):
        raise invalid(f"{field}: {_BINARY_OUTPUT}", field=field)


def _object(field: str, value: object, example: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise wrong(field, value, f"expected an object, {example}")
    return value


def _optional_object(field: str, value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(field, value, "expected an object, or nothing")
    return value
