"""What a job that asks for ONNX is told before it begins."""

from __future__ import annotations

import pytest

from tuneloop_api.contract.settings import OutputSettings
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.preflight.onnx_preview import notes_on_int8, refuse_too_large_for_onnx

ALL = OutputSettings(formats=["safetensors", "onnx-int8"])
FITS = (2**31 - 2**24) // 4


def test_a_model_that_one_file_holds_passes():
    refuse_too_large_for_onnx(FITS, ALL)


def test_a_model_that_one_file_cannot_hold_is_refused_where_onnx_is_asked_for():
    refuse_too_large_for_onnx(FITS + 1, OutputSettings())
    with pytest.raises(ConfigError, match=r"cannot be published as onnx: its weights have .*, one ONNX file holds "):
        refuse_too_large_for_onnx(FITS + 1, ALL)


@pytest.mark.parametrize(
    ("output", "test_rows", "noted"),
    [
        pytest.param(ALL, 1500, False, id="enough"),
        pytest.param(ALL, 1499, True, id="one too few"),
        pytest.param(OutputSettings(formats=["onnx"]), 1499, False, id="int8 is not asked for"),
    ],
)
def test_too_few_rows_for_int8_are_noted(output, test_rows, noted):
    assert bool(notes_on_int8({"train": 9000, "validation": 500, "test": test_rows}, output)) == noted
