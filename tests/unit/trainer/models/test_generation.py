"""With which token the texts of a published model end."""

import pytest
from transformers import GenerationConfig

from tuneloop_trainer.models.generation import end_texts_at


@pytest.mark.parametrize(
    ("known", "token", "expected"),
    [
        pytest.param(0, 2, [0, 2], id="the model knows another one"),
        pytest.param([0, 1], 2, [0, 1, 2], id="the model knows others"),
        pytest.param(None, 2, 2, id="the model knows none"),
        pytest.param(2, 2, 2, id="the model knows it"),
        pytest.param([1, 2], 2, [1, 2], id="the model knows it and another one"),
        pytest.param(0, None, 0, id="the tokenizer has none"),
    ],
)
def test_texts_end_where_the_rows_that_were_learned_end(known, token, expected):
    config = GenerationConfig(eos_token_id=known)
    end_texts_at(config, token)
    assert config.eos_token_id == expected
