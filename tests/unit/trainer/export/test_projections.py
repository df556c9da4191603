"""The directions of projections: which axes of the vectors of texts they are, and which they are not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_records import messages_of

from tuneloop_trainer.export.projections import LOG, affordable_rows, directions_from, projections_of
from tuneloop_trainer.tasks import TASKS

ROWS, SIZE = 200, 12


def vectors_of(*spreads: float, seed: int = 0, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors whose numbers spread so far, and logits that follow the first number alone."""
    generator = np.random.default_rng(seed)
    centred = generator.standard_normal((ROWS, SIZE))
    orthogonal = np.linalg.qr(centred - centred.mean(axis=0))[0] * np.sqrt(ROWS)
    vectors = 1.0 + orthogonal * np.array([*spreads, *[0.0] * (SIZE - len(spreads))])
    signs = np.where(np.arange(classes) % 2, 1.0, -1.0)
    return vectors, (vectors[:, :1] - 1.0) * signs


def test_directions_are_the_widest_axes_that_the_logits_do_not_show():
    directions = directions_from(*vectors_of(9.0, 1.0, 4.0, 0.5, 2.0, 3.0))
    assert np.abs(directions).argmax(axis=1).tolist() == [2, 5, 4, 1]
    assert directions.max(axis=1) == pytest.approx([1 / 4, 1 / 3, 1 / 2, 1 / 1], rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    classes=st.integers(2, 5),
    spreads=st.lists(st.floats(0.1, 10), min_size=6, max_size=SIZE),
)
def test_projections_of_the_rows_have_a_deviation_of_1_and_do_not_move_with_the_logits(seed, classes, spreads):
    vectors, logits = vectors_of(*spreads, seed=seed, classes=classes)
    directions = directions_from(vectors, logits)
    values = vectors @ directions.T
    assert values.std(axis=0) == pytest.approx(np.ones(4), rel=1e-2)
    assert np.corrcoef(np.column_stack([values, logits[:, 0]]).T)[-1, :-1] == pytest.approx(np.zeros(4), abs=2e-2)


def test_axes_along_which_all_rows_are_alike_are_left_out():
    assert directions_from(*vectors_of(1.0, 1.0, 1.0)).shape == (2, SIZE)
    assert directions_from(*vectors_of(1.0)).shape == (0, SIZE)


def test_an_axis_that_is_as_narrow_as_rounding_is_left_out():
    assert directions_from(*vectors_of(1.0, 1.0, 1e-4)).shape == (1, SIZE)


def test_the_same_rows_turned_round_give_the_same_directions():
    vectors, logits = vectors_of(9.0, 5.0, 4.0, 3.0, 2.0)
    assert np.array_equal(directions_from(vectors, logits), directions_from(vectors[::-1], logits[::-1]))


def test_a_row_alone_has_no_directions():
    vectors, logits = vectors_of(1.0, 1.0)
    assert directions_from(vectors[:1], logits[:1]).shape == (0, SIZE)


@pytest.mark.parametrize(
    ("parameters", "tokens", "rows", "affordable"),
    [
        pytest.param(11_000_000, 32, 5000, 1000, id="a small model reads as many as are allowed"),
        pytest.param(11_000_000, 32, 60, 60, id="of few rows all"),
        pytest.param(86_000_000, 128, 5000, 454, id="BERT of base size"),
        pytest.param(7_000_000_000, 128, 5000, 5, id="too large"),
    ],
)
def test_the_larger_the_model_the_fewer_rows_it_reads(parameters, tokens, rows, affordable):
    assert affordable_rows(np.full(rows, tokens), parameters=parameters) == affordable


def test_a_task_without_projections_runs_no_model_for_them(tmp_path):
    (tmp_path / "model").mkdir()
    inputs = SimpleNamespace(task=TASKS["token-classification"])
    with messages_of(LOG.name) as messages:
        assert projections_of(tmp_path, inputs, None, split="test") is None
    assert messages == []
