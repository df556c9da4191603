"""JSON has no NaN and no infinity: an output that holds one is an error, in whichever window of the text."""

from __future__ import annotations

import numpy as np
import pytest

from tuneloop_server.answering import _require_numbers
from tuneloop_server.errors import RequestError

GOOD = np.array([[0.5, -0.5]], dtype=np.float32)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_number_that_is_not_finite_is_refused(number, place):
    outputs = [GOOD.copy() for _ in range(3)]
    _require_numbers(outputs, text=7)
    outputs[place][0, 1] = number
    with pytest.raises(RequestError, match="the model's output for text 7 is not a finite number") as refused:
        _require_numbers(outputs, text=7)
    assert (refused.value.status, refused.value.reason) == (500, "model_error")
