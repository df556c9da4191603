"""Conversations become tokens by the chat template of the model."""

from __future__ import annotations

import pytest
from generating_artifacts import byte_tokenizer

from tuneloop_server.errors import RequestError
from tuneloop_server.runtimes.prompts import PromptTokenizer

EMPTY = [{"role": "user", "content": ""}]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        pytest.param(
            "{% for message in messages %}{{ message.content }}{% endfor %}",
            "messages: the tokenizer makes no token of what the model's chat template makes of them",
            id="nothing is left of them",
        ),
        pytest.param(
            "{{ raise_exception('no empty turn') }}",
            "messages: the model's chat template refuses them: no empty turn",
            id="the template refuses them",
        ),
    ],
)
def test_a_conversation_without_a_prompt_is_refused(template, message):
    tokenizer = byte_tokenizer(chat=True)
    tokenizer.chat_template = template
    with pytest.raises(RequestError) as refused:
        PromptTokenizer(tokenizer, ends=frozenset()).of_messages(EMPTY)
    assert str(refused.value).startswith(message)
    assert (refused.value.status, refused.value.field) == (422, "messages")
