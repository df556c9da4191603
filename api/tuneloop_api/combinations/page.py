"""`docs/support-matrix.md`: the table of combinations, written for people."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from tuneloop_api.combinations.table import (
    ADAPTERS,
    FAMILIES,
    METHODS,
    OPTIONS,
    PRECISIONS,
    PROMPTS,
    REFUSED,
    TASKS,
    ZERO_STAGES,
    Combination,
    Refused,
    refusal,
    serves_adapter,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PAGE = "support-matrix.md"
_NOTES = {
    "full": "every parameter; publishes `model/`",
    "lora": "low-rank matrices beside linear layers; publishes `adapter/` and, merged, `model/`",
    "ia3": "a factor for each output of a linear layer; publishes `adapter/` and, merged, `model/`",
    "bitfit": "the bias terms; publishes `model/`",
    "prefix": "keys and values before those of each text, in every layer; publishes `adapter/`",
    "prompt": "embeddings of virtual tokens before each text; publishes `adapter/`",
    "p-tuning": "the same, written by a small network; publishes `adapter/`",
    "useDora": "the norms of a layer's outputs are learned, too",
    "useRslora": "alpha is divided by √rank",
    "usePissa": "the matrices begin with the largest singular vectors of a weight; `adapter/` is LoRA of twice the rank",
    "freeze": "parameters whose names match stay",
}


def page() -> str:
    """Return the page as Markdown."""
    cells = list(_combinations())
    return (
        "# What combines with what\n"
        "Written by `python -m tuneloop_api.combinations docs`; edit `api/tuneloop_api/combinations/table.py`. The API server, `tuneloop validate` and the trainer ask the same table.\n\n"
        "## Methods\n" + _methods() + "\n"
        f"`spec.output.mergeAdapter` applies to {', '.join(ADAPTERS[:-1])} and {ADAPTERS[-1]} alone; {', '.join(PROMPTS[:-1])} and {PROMPTS[-1]} need it to be false. A ModelDeployment serves `model/` of every method, by torch and as ONNX; "
        f"`spec.adapters` serves `adapter/` of {', '.join(_served())} beside its base model.\n\n"
        f"## Cells\nTasks: {', '.join(TASKS)}. Architectures: {', '.join(FAMILIES)}. Of {len(cells)} combinations of method, option, task, ZeRO stage and number format {sum(refusal(cell) is None for cell in cells)} are allowed. "
        "In bf16 stage 0 runs as stage 1. `tests/component/trainer/methods/test_combinations.py` trains, saves, resumes on another number of ranks and publishes each of them with a tiny model.\n\n"
        + _cells()
        + "\n## Refused\n"
        + _refused()
    )


def _served() -> list[str]:
    return [
        option or method
        for method, option in variants()
        if serves_adapter(method, frozenset([option] if option else []))
    ]


def write(folder: Path) -> None:
    """Write the page into a folder."""
    (folder / PAGE).write_text(page(), encoding="utf-8")


def variants() -> list[tuple[str, str | None]]:
    """Return (method, option) of all methods, without an option and with each of its own."""
    return [*((method, None) for method in METHODS), *((method, option) for option, method in OPTIONS.items())]


def _combinations() -> Iterable[Combination]:
    for (method, option), task, stage, precision in product(variants(), TASKS, ZERO_STAGES, PRECISIONS):
        options = frozenset([option] if option else [])
        yield Combination(method=method, options=options, task=task, zero_stage=stage, precision=precision)


def _methods() -> str:
    rows = [
        (f"`method.type: {method}`" + (f", `{option}`" if option else ""), _NOTES[option or method])
        for method, option in variants()
    ]
    return _table(("setting", "what is trained, and what is published"), rows)


def _cells() -> str:
    """Return a row for each method and option, a column for each ZeRO stage: the tasks and formats of numbers that are allowed."""
    rows = [
        (
            f"{method}{f', {option}' if option else ''}",
            *(_allowed(method, option, stage) or "refused" for stage in ZERO_STAGES),
        )
        for method, option in variants()
    ]
    return _table(("method", *(f"stage {stage}" for stage in ZERO_STAGES)), rows)


def _allowed(method: str, option: str | None, stage: int) -> str:
    options = frozenset([option] if option else [])
    cells = [
        (task, precision)
        for task, precision in product(TASKS, PRECISIONS)
        if refusal(Combination(method=method, options=options, task=task, zero_stage=stage, precision=precision))
        is None
    ]
    tasks, formats = (list(dict.fromkeys(names)) for names in (zip(*cells, strict=True) if cells else ((), ())))
    return ", ".join(formats) + ("" if len(tasks) in {0, len(TASKS)} else f" ({', '.join(tasks)})")


def _refused() -> str:
    rows = [(_where(row), f"`spec.{row.field}`: {row.reason.format(model='the model')}", row.advice) for row in REFUSED]
    return _table(("combination", "reason", "what to do"), rows)


def _where(row: Refused) -> str:
    parts = [
        " or ".join(row.methods),
        *row.options,
        *row.tasks,
        *(f"stage {stage}" for stage in row.zero_stages),
        *row.precisions,
        *row.families,
        *([" or ".join(row.models)] if row.models else []),
    ]
    return ", ".join(parts) + (f", a model without {row.lacks}" if row.lacks else "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
