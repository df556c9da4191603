"""The text of a conversation is that of transformers, and what the assistant says in it is found, or the template is refused."""

from __future__ import annotations

import pytest
from tiny_language_models import (
    ALTERNATES,
    CHATML,
    END_OF_TURN,
    MARKED,
    STRIPS_EARLIER,
    conversations,
    tiny_byte_tokenizer,
)

from tuneloop_trainer.tasks.conversation import TemplateFailsError, conversation_of

PLAIN = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
TURNS = [
    {"role": "user", "content": "sure?"},
    {"role": "assistant", "content": "yes."},
    {"role": "user", "content": "really?"},
    {"role": "assistant", "content": "no."},
]


def answers(template: str, turns=TURNS, *, end: str = END_OF_TURN) -> list[str]:
    found = conversation_of(tiny_byte_tokenizer(template=template, end=end), turns)
    return [found.text[start:stop] for start, stop in found.answers]


@pytest.mark.parametrize(
    ("template", "written"),
    [
        (CHATML, ["yes.<|im_end|>", "no.<|im_end|>"]),
        (MARKED, ["yes.<|im_end|>", "no.<|im_end|>"]),
        (PLAIN, ["yes.\n", "no.\n"]),
    ],
    ids=["found by what an answer adds", "marked by the template", "an answer that a line ends"],
)
def test_the_assistants_turns_are_found_each_with_what_ends_it(template, written):
    assert answers(template) == written


@pytest.mark.parametrize("template", [CHATML, MARKED, PLAIN])
@pytest.mark.parametrize("row", conversations(3), ids=["one turn", "with a system", "two turns"])
def test_the_text_is_that_of_plain_transformers(template, row):
    tokenizer = tiny_byte_tokenizer(template=template)
    assert conversation_of(tokenizer, row["messages"]).text == tokenizer.apply_chat_template(
        row["messages"], tokenize=False
    )


def test_both_ways_find_the_same_answers():
    for row in conversations(9):
        assert answers(CHATML, row["messages"]) == answers(MARKED, row["messages"])


def test_an_answer_begins_where_the_model_is_asked_to_go_on():
    tokenizer = tiny_byte_tokenizer(template=CHATML)
    found = conversation_of(tokenizer, TURNS)
    asked = tokenizer.apply_chat_template(TURNS[:3], tokenize=False, add_generation_prompt=True)
    assert found.text[: found.answers[1][0]] == asked


@pytest.mark.parametrize(
    ("template", "turns", "why"),
    [
        (
            STRIPS_EARLIER,
            TURNS,
            "what the template writes before an answer is not what it writes once the answer is there",
        ),
        (ALTERNATES, [{"role": "system", "content": "Be brief."}, *TURNS], "roles must alternate user/assistant"),
        ("{{ nothing_of_the_kind.content }}", TURNS, "nothing_of_the_kind"),
        ("{% for message in messages %}", TURNS, "Unexpected end of template"),
        (MARKED.replace("'assistant'", "'bot'"), TURNS, "marks nothing"),
    ],
    ids=["earlier turns change", "refused by the template", "unknown name", "no template", "nothing is marked"],
)
def test_a_template_that_fails_says_why(template, turns, why):
    with pytest.raises(TemplateFailsError, match=why):
        answers(template, turns)
