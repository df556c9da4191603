"""Names by which clients ask: which are served, what stands for the default, and what a wrong one is answered with."""

from __future__ import annotations

import pytest

from tuneloop_server.errors import RequestError
from tuneloop_server.model_names import ModelNames

PLAIN = ModelNames(deployment="reviews")
WITH_OWN = ModelNames(deployment="reviews", adapters=("films", "books"))
ONE = ModelNames(deployment="reviews", adapters=("films",), has_own_model=False)
TWO = ModelNames(deployment="reviews", adapters=("films", "books"), has_own_model=False)


@pytest.mark.parametrize(
    ("names", "asked", "adapter"),
    [
        pytest.param(PLAIN, None, None, id="a model without adapters"),
        pytest.param(PLAIN, "reviews", None, id="by its name"),
        pytest.param(WITH_OWN, None, None, id="the base model's own head is the default"),
        pytest.param(WITH_OWN, "books", "books", id="an adapter"),
        pytest.param(ONE, None, "films", id="the only adapter is the default"),
        pytest.param(ONE, "reviews", "films", id="by the deployment's name"),
        pytest.param(TWO, "films", "films", id="one of two"),
    ],
)
def test_a_name_stands_for_a_model(names, asked, adapter):
    assert names.adapter(names.require(asked, field="model")) == adapter


@pytest.mark.parametrize(
    ("names", "asked", "status", "message"),
    [
        pytest.param(PLAIN, "x", 404, "model: x is not served here; allowed is reviews, or nothing", id="no adapters"),
        pytest.param(PLAIN, 5, 404, "model: 5 is not served here; allowed is reviews, or nothing", id="no text"),
        pytest.param(ONE, "x", 404, "model: x is not served here; allowed are reviews, films, or nothing", id="one"),
        pytest.param(
            TWO, "reviews", 404, "model: reviews is not served here; allowed are films, books", id="no default"
        ),
        pytest.param(
            TWO,
            None,
            422,
            "model: is missing, and the base model has no answer of its own; allowed are films, books",
            id="none, and no default",
        ),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(names, asked, status, message):
    with pytest.raises(RequestError) as refused:
        names.require(asked, field="model")
    assert (refused.value.status, str(refused.value), refused.value.field) == (status, message, "model")
