"""`prepare` tries whether the model keeps packed rows apart, and says so before any GPU is held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_configs import run_config
from tiny_language_models import tiny_decoder, write_rows

from tuneloop_api.contract.results import PrepareResult
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.rehearsal.packing_check import rows_to_try
from tuneloop_trainer.report import Reporter

RAGGED = [{"text": f"{number} " + "snow is white. " * (number % 7 + 1)} for number in range(40)]
ALIKE = [{"text": f"{number:03d} snow is white."} for number in range(40)]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    return {name: tiny_decoder(tmp_path_factory.mktemp(name), family=name) for name in ("llama", "opt")}


def prepared(folder: Path, model: Path, rows: list[dict[str, Any]], packing: str | None = None) -> PrepareResult:
    source = write_rows(folder / "train.jsonl", rows)
    data = {"format": "text"} | ({"packing": packing} if packing else {})
    config = run_config(
        folder, task="text-generation", sources=[source], model=model, data=data, preflight={"rehearsal": False}
    )
    return prepare(config, Reporter(config))


@pytest.mark.parametrize(
    ("model", "rows", "packing", "packed"),
    [
        pytest.param("llama", RAGGED, None, True, id="a model that keeps rows apart"),
        pytest.param("llama", RAGGED, "always", True, id="the same, asked for"),
        pytest.param("llama", RAGGED, "never", None, id="not asked for"),
        pytest.param("llama", ALIKE, None, False, id="rows of which no two fit into a line"),
        pytest.param("opt", ALIKE, "always", False, id="nothing to pack for a model that could not"),
    ],
)
def test_rows_are_packed_where_the_model_keeps_them_apart(tmp_path, models, model, rows, packing, packed):
    found = prepared(tmp_path, models[model], rows, packing)
    assert found.resolved.packed is packed
    assert not [note for note in found.notes or () if "packed" in note]
    assert not list(tmp_path.rglob("packing.tmp"))


def test_a_model_that_mixes_rows_is_trained_without_packing_and_the_notes_say_so_with_both_losses(tmp_path, models):
    found = prepared(tmp_path, models["opt"], RAGGED)
    assert found.resolved.packed is False
    (note,) = [note for note in found.notes or () if "packed" in note]
    assert note.startswith("rows are not packed (data.packing): a row has a loss of ")
    assert " beside other rows and of " in note


def test_a_model_that_mixes_rows_is_refused_where_rows_must_be_packed(tmp_path, models):
    with pytest.raises(ConfigError, match=r"spec\.data\.packing: must not be always for a model of type opt: a row has a loss of") as refused:  # fmt: skip
        prepared(tmp_path, models["opt"], RAGGED, "always")
    assert refused.value.hint == "leave data.packing out: rows are not packed then"


@pytest.mark.parametrize(
    ("lengths", "tried"),
    [
        pytest.param([5, 5], None, id="two rows"),
        pytest.param([5, 5, 9], None, id="no line with room for two"),
        pytest.param([5, 10, 5], [1, 0, 2], id="a line with room for two"),
        pytest.param([600, 700, 2000, 1300], [3, 0, 1], id="the shortest of long rows with room"),
        pytest.param([300, 4, 5, 400, 900], [3, 1, 2, 0, 4], id="the longest of rows that are not too long"),
    ],
)
def test_a_long_row_and_short_ones_are_tried(lengths, tried):
    found = rows_to_try(np.array(lengths))
    assert (found if found is None else found.tolist()[: len(tried)]) == tried
