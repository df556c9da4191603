"""Fill-mask: parameters, the shape of answers, which texts are refused, and how two answers are compared."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.answers.answer_format import UnreadableAnswer, UnreadableLabel
from tuneloop_server.answers.fill_mask import FILL_MASK_ANSWERS as ANSWERS
from tuneloop_server.comparator.replies import Reply
from tuneloop_server.comparator.verdicts import Verdict, compared, side_of
from tuneloop_server.errors import RequestError
from tuneloop_server.model import Encoded, Window
from tuneloop_server.tasks.fill_mask import FILL_MASK as TASK
from tuneloop_server.tasks.fill_mask import best_tokens
from tuneloop_server.tasks.task import ModelFacts

WORDS = ("[PAD]", "[CLS]", "[MASK]", "good", "bad", "film")
PAD, CLS, MASK, GOOD, BAD, FILM = range(6)


class Words:
    """A vocabulary of six words."""

    pad_id, mask_id, mask_token = PAD, MASK, "[MASK]"

    def text_of(self, ids, *, with_special_tokens):
        return " ".join(WORDS[token] for token in ids if with_special_tokens or token > MASK)

    def first_id(self, text):
        return next((WORDS.index(word) for word in text.split() if word in WORDS), None)


FACTS = ModelFacts(labels=(), temperature=1.0, vocabulary=Words())
LOGITS = np.log(np.array([0.02, 0.03, 0.05, 0.4, 0.3, 0.2], dtype=np.float32))


def answer(ids: list[int], **parameters):
    masks = ids.count(MASK)
    window = Window(Encoded(ids=ids), np.stack([LOGITS] * masks))
    return TASK.answer("a text", [window], TASK.read_parameters(parameters), FACTS)


def test_a_mask_gets_the_likeliest_tokens_the_best_first():
    value = answer([CLS, FILM, MASK], top_k=2).value
    assert [(item["token"], item["token_str"], item["sequence"]) for item in value] == [
        (GOOD, "good", "film good"),
        (BAD, "bad", "film bad"),
    ]
    assert [item["score"] for item in value] == pytest.approx([0.4, 0.3])


def test_a_text_with_several_masks_gets_a_list_for_each_and_shows_the_others():
    first, second = answer([CLS, MASK, FILM, MASK], top_k=1).value
    assert [first[0]["sequence"], second[0]["sequence"]] == ["[CLS] good film [MASK]", "[CLS] [MASK] film good"]


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        ("bad", [(BAD, 0.3)]),
        (["film", "bad"], [(BAD, 0.3), (FILM, 0.2)]),
        (["film", "film noir"], [(FILM, 0.2)]),
        (["no word", "film"], [(FILM, 0.2)]),
    ],
)
def test_only_targets_are_scored_by_their_share_of_all_tokens(targets, found):
    value = answer([CLS, MASK], targets=targets, top_k=9).value
    assert [item["token"] for item in value] == [token for token, _ in found]
    assert [item["score"] for item in value] == pytest.approx([score for _, score in found])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top_k": 0}, "parameters.top_k: 0 was given, expected a whole number from 1 to 100"),
        ({"top_k": 101}, "parameters.top_k: 101 was given"),
        ({"top_k": True}, "parameters.top_k: true was given"),
        ({"targets": []}, "parameters.targets: [] was given, expected a string or a list of 1 to 100 strings"),
        ({"targets": [3]}, "parameters.targets: [3] was given"),
        ({"targets": ["a"] * 101}, "at most 100|1 to 100 strings"),
        ({"target": "good"}, "allowed are top_k, targets"),
        ({"targets": ["nothing here"]}, "a text that the model has a token for"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(parameters, message):
    with pytest.raises(RequestError) as refused:
        answer([CLS, MASK], **parameters)
    assert any(part in str(refused.value) for part in message.split("|"))


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (Encoded(ids=[CLS, MASK]), ""),
        (Encoded(ids=[CLS] + [MASK] * 64), ""),
        (Encoded(ids=[CLS] + [MASK] * 65), "has 65 mask tokens, at most 64 are allowed"),
        (Encoded(ids=[CLS, GOOD]), 'has no mask token, at least one is needed; for example "A fine [MASK]."'),
        (Encoded(ids=[CLS, GOOD], truncated=True), "has no mask token among the 2 tokens that the model reads"),
    ],
)
def test_a_text_needs_a_mask_that_the_model_reads(encoded, message):
    refusal = TASK.refusal([Encoded(ids=[CLS, MASK]), encoded], FACTS.vocabulary)
    assert refusal.startswith(f"text 2 {message}" if message else "")
    assert bool(refusal) == bool(message)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([64, 64, 64, 64], ""),
        ([64, 64, 64, 64, 1], "the texts have 257 mask tokens together, at most 256 are allowed in one request"),
        ([1] * 257, "the texts have 257 mask tokens together"),
    ],
)
def test_the_masks_of_a_request_are_bounded_for_each_has_a_number_for_every_token(masks, message):
    refusal = TASK.refusal([Encoded(ids=[CLS] + [MASK] * count) for count in masks], FACTS.vocabulary)
    assert refusal.startswith(message)
    assert bool(refusal) == bool(message)


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=20), st.integers(1, 25))
def test_the_scores_fall_and_are_those_of_a_softmax(logits, top_k):
    found = best_tokens(np.array(logits, dtype=np.float32), None, top_k=top_k)
    scores = [score for score, _ in found]
    assert len(found) == min(top_k, len(logits))
    assert scores == sorted(scores, reverse=True)
    assert sum(score for score, _ in best_tokens(np.array(logits, dtype=np.float32), None, top_k=25)) == pytest.approx(
        1
    )
    assert max(logits) - logits[found[0][1]] < 1e-4  # smaller differences are none in float32


def test_tokens_are_no_prediction_of_a_label():
    found = answer([CLS, MASK])
    assert (found.predictions, dict(found.features())) == ([], {})
    assert TASK.label_names(()) == []
    assert not TASK.has_one_label


def mask(*tokens: str, score: float = 0.5) -> list[dict[str, object]]:
    return [{"score": score / (1 + place), "token_str": token} for place, token in enumerate(tokens)]


@pytest.mark.parametrize(
    ("answer", "classes"),
    [
        (mask(" good", "bad"), [{0: "good"}]),
        ([mask("good"), mask("film")], [{0: "good", 1: "film"}]),
        ([[mask("good"), mask("film")], mask("bad")], [{0: "good", 1: "film"}, {0: "bad"}]),
    ],
)
def test_the_token_of_each_mask_is_what_was_chosen(answer, classes):
    assert [choice.classes for choice in ANSWERS.read(answer)] == classes


def test_the_confidence_is_that_of_the_least_sure_mask():
    assert ANSWERS.read([mask("good", score=0.9), mask("film", score=0.2)])[0].confidence == 0.2


@pytest.mark.parametrize("answer", [None, {}, [], [[]], "good", [{"score": 0.5}], [{"token_str": "good"}], [mask("a"), []], [mask("a"), 3]])  # fmt: skip
def test_what_is_no_answer_cannot_be_read(answer):
    with pytest.raises(UnreadableAnswer):
        ANSWERS.read(answer)


@pytest.mark.parametrize(
    ("stable", "canary", "verdict"),
    [
        (mask("good"), mask("good", score=0.1), Verdict.AGREE),
        (mask("good"), mask("bad"), Verdict.DISAGREE),
        ([mask("good"), mask("film")], [mask("good"), mask("bad")], Verdict.DISAGREE),
        (mask("good"), [mask("good"), mask("good")], Verdict.DISAGREE),
    ],
)
def test_answers_agree_that_choose_the_same_token_for_every_mask(stable, canary, verdict):
    sides = [side_of(Reply(body=json.dumps(body).encode(), seconds=0.1), ANSWERS) for body in (stable, canary)]
    assert compared(*sides).verdict is verdict


@pytest.mark.parametrize(("label", "classes"), [("good", {0: "good"}), ([" good", "film"], {0: "good", 1: "film"})])
def test_a_golden_row_names_the_tokens_of_its_masks(label, classes):
    assert ANSWERS.read_label(label, []) == classes


@pytest.mark.parametrize("label", [None, 3, "", [], [3], [""], {"token": "good"}])
def test_a_label_that_names_no_token_is_refused(label):
    with pytest.raises(UnreadableLabel, match="list with the token of each mask"):
        ANSWERS.read_label(label, [])
