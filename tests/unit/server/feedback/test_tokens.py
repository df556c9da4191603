"""Tokens: what every server of a deployment accepts, and what none does."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.feedback.errors import RefusedFeedback
from tuneloop_server.feedback.token import TOKEN_CHARACTERS, Predicted, Signer, bin_of, label_digest

OLD, NEW = b"o" * 32, b"n" * 32
PREDICTED = Predicted(
    revision="7d1f0b2c",
    at=1_796_000_000,
    nonce=b"12345678",
    class_id=2,
    label=label_digest("positive"),
    confidence_bin=9,
)


def signer(*keys: bytes, namespace: str = "team", deployment: str = "reviews") -> Signer:
    return Signer(keys or (OLD,), namespace=namespace, deployment=deployment)


def reason_of(token: str, reader: Signer) -> str:
    with pytest.raises(RefusedFeedback) as refused:
        reader.read(token)
    assert "12345678" not in str(refused.value)
    assert "oooo" not in str(refused.value)
    return refused.value.reason


@given(
    at=st.integers(0, 2**32 - 1),
    nonce=st.binary(min_size=8, max_size=8),
    class_id=st.integers(0, 2**16 - 1),
    confidence_bin=st.integers(0, 9),
    revision=st.text("0123456789abcdef", min_size=1, max_size=8),
)
def test_another_server_reads_what_was_signed(at, nonce, class_id, confidence_bin, revision):
    predicted = Predicted(
        revision=revision, at=at, nonce=nonce, class_id=class_id, label=b"abcd", confidence_bin=confidence_bin
    )
    assert signer().read(signer().token(predicted)) == predicted


def test_a_token_is_short_and_can_stand_in_a_url():
    token = signer().token(PREDICTED)
    assert len(token) == TOKEN_CHARACTERS[1] == 59
    assert not set(token) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("place", range(TOKEN_CHARACTERS[1]))
def test_a_change_of_any_character_is_noticed(place):
    token = signer().token(PREDICTED)
    other = "A" if token[place] != "A" else "B"
    assert reason_of(token[:place] + other + token[place + 1 :], signer()) in {"damaged", "foreign"}


@pytest.mark.parametrize(
    "token", ["", "x", "A" * 58, "A" * 60, "ä" * 59, "A" * 58 + "=", "A" * 58 + "\n", "AQ" + "+" * 57, "\ud800" * 59]
)
def test_what_is_no_token_is_damaged(token):
    assert reason_of(token, signer()) == "damaged"


def test_a_token_has_one_spelling():
    token = signer().token(PREDICTED)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = token[:-1] + letters[letters.index(token[-1]) ^ 1]
    assert base64.urlsafe_b64decode(same + "=") == base64.urlsafe_b64decode(token + "=")
    assert reason_of(same, signer()) == "damaged"


def test_a_token_of_a_newer_layout_is_named_by_its_version():
    token = signer().token(PREDICTED)
    with pytest.raises(RefusedFeedback, match="has version 3, and this server knows versions 1 and 2"):
        signer().read("Aw" + token[2:])


@pytest.mark.parametrize("other", [{"deployment": "films"}, {"namespace": "other"}])
def test_a_key_of_two_deployments_makes_no_token_of_one_a_token_of_the_other(other):
    assert reason_of(signer(**other).token(PREDICTED), signer()) == "foreign"


def test_a_name_cannot_be_moved_into_the_namespace():
    token = signer(namespace="a", deployment="b-c").token(PREDICTED)
    assert reason_of(token, signer(namespace="a-b", deployment="c")) == "foreign"


def test_the_key_before_is_accepted_until_it_is_taken_out():
    before = signer(OLD).token(PREDICTED)
    assert signer(NEW, OLD).read(before) == PREDICTED
    assert signer(OLD, NEW).read(signer(NEW, OLD).token(PREDICTED)) == PREDICTED
    assert reason_of(before, signer(NEW)) == "foreign"


@pytest.mark.parametrize(("confidence", "number"), [(0.0, 0), (0.099, 0), (0.1, 1), (0.95, 9), (1.0, 9)])
def test_a_confidence_is_in_one_of_ten_bins(confidence, number):
    assert bin_of(confidence) == number


def test_a_token_with_a_text_is_known_again_by_the_text_alone():
    text, other = "a joy", "a Joy"
    reader = signer()
    with_text = replace(PREDICTED, input_digest=reader.input_digest(text, nonce=PREDICTED.nonce))
    token = reader.token(with_text)
    assert len(token) == TOKEN_CHARACTERS[2] == 70
    assert reader.read(token) == with_text
    assert reader.is_input(text, with_text)
    assert not reader.is_input(other, with_text)
    assert not reader.is_input(text, PREDICTED)


def test_the_digest_of_a_text_says_nothing_without_the_key_and_differs_from_token_to_token():
    digests = [
        signer(key, deployment=deployment).input_digest("a joy", nonce=nonce)
        for key, deployment, nonce in [
            (OLD, "reviews", b"12345678"),
            (NEW, "reviews", b"12345678"),
            (OLD, "films", b"12345678"),
            (OLD, "reviews", b"12345679"),
        ]
    ]
    assert len(set(digests)) == len(digests)


def test_a_text_is_known_again_while_its_key_stands_in_the_secret():
    with_text = replace(PREDICTED, input_digest=signer(OLD).input_digest("a joy", nonce=PREDICTED.nonce))
    assert signer(NEW, OLD).is_input("a joy", with_text)
    assert not signer(NEW).is_input("a joy", with_text)
