"""The head of a task's model: which modules belong to it, and which of its rows stands for which label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from torch import nn

_NAMED = 5
"""Labels that a sentence names, at most."""


def head_modules(model: Any, new_modules: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the modules that every method trains whole: the head, and what is new inside the pre-trained body, such as a pooler.

    The head is named by its outermost modules, whether it is new or not. A method that took its parts one by one would miss what joins them.
    new_modules: the modules that the model's files did not hold.
    """
    body = model.base_model_prefix
    names: list[str] = []
    for name, child in model.named_children():
        if name == body:
            names += [module for module in new_modules if module.startswith(f"{body}.")]
        elif any(True for _ in child.parameters()):
            names.append(name)
    return tuple(names)


def label_parameters(model: Any, *, labels: int) -> dict[str, nn.Parameter]:
    """Return the parameters of the layer that has a row for each label, by name: the last layer of the head with so many rows."""
    found: dict[str, nn.Parameter] = {}
    for name, module in model.named_modules():
        own = {f"{name}.{key}": parameter for key, parameter in module.named_parameters(recurse=False)}
        if own and not name.startswith(f"{model.base_model_prefix}.") and all(_rows(p) == labels for p in own.values()):
            found = own
    return found


def _rows(parameter: Any) -> int:
    """Return the length of the first dimension; under ZeRO-3 a parameter has no shape of its own."""
    shape = getattr(parameter, "ds_shape", parameter.shape)
    return int(shape[0]) if len(shape) else 0


def rows_by_label(labels: Sequence[str], before: Mapping[int, str]) -> list[int] | None:
    """Return for each label the row that it has in the files; None if the files' head is for other labels.

    before: `id2label` of the files' config.
    """
    row_of = {label: row for row, label in before.items()}
    if len(before) != len(labels) or row_of.keys() != set(labels):
        return None
    return [row_of[label] for label in labels]


def describe_head(labels: Sequence[str], before: Mapping[int, str], *, is_there: bool) -> str:
    """Return in a sentence where the head's weights come from. is_there: the model's files hold a head, for whatever labels."""
    if not is_there:
        return "new: the model's files hold none"
    rows = rows_by_label(labels, before)
    if rows is None:
        return f"new: that of the model's files is for other labels ({_listed(before.values())})"
    return "that of the model's files" + ("" if rows == sorted(rows) else ", its rows in the order of the job's labels")


def _listed(labels: Collection[str]) -> str:
    first = [str(label) for label in labels][:_NAMED]
    return ", ".join(first) + (f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else "")
