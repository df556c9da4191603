"""A prepared data set holds the tokenizer that made its tokens, with the chat template that lies beside it."""

from __future__ import annotations

import pytest
from tiny_language_models import CHATML, tiny_byte_tokenizer
from transformers import AutoTokenizer

from tuneloop_trainer.data.pipeline import _copy_tokenizer


@pytest.mark.parametrize("template", [CHATML, None])
def test_the_copied_tokenizer_is_the_models(tmp_path, template):
    tokenizer = tiny_byte_tokenizer(template=template)
    tokenizer.save_pretrained(tmp_path / "model")
    _copy_tokenizer(tmp_path / "model", tmp_path / "tokenizer")
    copied = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    assert copied.chat_template == template
    assert copied("What? 🙂<|im_end|>")["input_ids"] == tokenizer("What? 🙂<|im_end|>")["input_ids"]
