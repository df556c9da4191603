"""How a client's wishes and the model's own configuration make an answer."""

from __future__ import annotations

import pytest

from tuneloop_server.errors import RequestError
from tuneloop_server.generation.beam_search import Beams
from tuneloop_server.generation.sampling import Sampling
from tuneloop_server.generation.settings import Asked, AskedSampling, GenerationDefaults, answer_tokens, read_sampling

GREEDY = Sampling()
DRAWS = Sampling(temperature=0.6, top_k=20, top_p=0.95, repetition_penalty=1.1)
FIELDS = ("prompt", "max_tokens")


@pytest.mark.parametrize(
    ("asked", "defaults", "expected"),
    [
        pytest.param({}, GREEDY, GREEDY, id="nothing asked of a greedy model"),
        pytest.param({}, DRAWS, DRAWS, id="nothing asked of a model that draws"),
        pytest.param(
            {"temperature": 0.0}, DRAWS, Sampling(top_k=20, top_p=0.95, repetition_penalty=1.1), id="0 is greedy"
        ),
        pytest.param({"temperature": 1e-9}, GREEDY, GREEDY, id="nearly 0 is greedy"),
        pytest.param({"temperature": 0.7}, GREEDY, Sampling(temperature=0.7), id="a temperature draws"),
        pytest.param({"top_p": 0.9}, GREEDY, Sampling(temperature=1.0, top_p=0.9), id="top_p draws at temperature 1"),
        pytest.param(
            {"top_k": 5},
            DRAWS,
            Sampling(temperature=0.6, top_k=5, top_p=0.95, repetition_penalty=1.1),
            id="the rest stays the model's",
        ),
        pytest.param({"do_sample": True}, GREEDY, Sampling(temperature=1.0), id="do_sample draws"),
        pytest.param(
            {"do_sample": False, "top_k": 5}, DRAWS, Sampling(repetition_penalty=1.1), id="do_sample: false wins"
        ),
        pytest.param(
            {"do_sample": True, "seed": -1}, GREEDY, Sampling(temperature=1.0, seed=2**64 - 1), id="a negative seed"
        ),
        pytest.param(
            {"repetition_penalty": 1.3}, GREEDY, Sampling(repetition_penalty=1.3), id="a penalty alone draws nothing"
        ),
    ],
)
def test_the_model_decides_where_the_client_says_nothing(asked, defaults, expected):
    assert AskedSampling(**asked).over(defaults) == expected


@pytest.mark.parametrize(
    ("asked", "default", "prompt", "limit", "expected"),
    [
        pytest.param(None, None, 30, None, 70, id="all the room"),
        pytest.param(None, 16, 30, None, 16, id="the default"),
        pytest.param(None, 16, 90, None, 10, id="the default as far as there is room"),
        pytest.param(None, 16, 30, 8, 8, id="the default as far as the deployment allows"),
        pytest.param(None, None, 30, 8, 8, id="what the deployment allows"),
        pytest.param(70, 16, 30, None, 70, id="what was asked for"),
        pytest.param(8, 16, 30, 8, 8, id="as much as the deployment allows"),
    ],
)
def test_an_answer_has_as_many_tokens_as_there_is_room_for(asked, default, prompt, limit, expected):
    found = answer_tokens(asked, default=default, prompt=prompt, window=100, limit=limit, fields=FIELDS)
    assert found == expected


@pytest.mark.parametrize(
    ("asked", "prompt", "message"),
    [
        pytest.param(
            None,
            100,
            "prompt: the prompt has 100 tokens, at most 99 are allowed: the context window has 100 tokens",
            id="prompt",
        ),
        pytest.param(
            71,
            30,
            "max_tokens: 71 was given, at most 70 are left: the prompt has 30 tokens, and the context window 100",
            id="answer",
        ),
        pytest.param(
            100, 30, "max_tokens: 100 was given, at most 99 are allowed here (batching.maxNewTokens)", id="deployment"
        ),
    ],
)
def test_a_prompt_or_an_answer_that_does_not_fit_is_refused_with_both_numbers(asked, prompt, message):
    with pytest.raises(RequestError) as refused:
        answer_tokens(asked, default=None, prompt=prompt, window=100, limit=99, fields=FIELDS)
    assert str(refused.value).startswith(message)
    assert (refused.value.status, refused.value.field) == (422, message.partition(":")[0])


@pytest.mark.parametrize("field", ["temperature", "top_p", "repetition_penalty"])
@pytest.mark.parametrize("value", [10**400, -(10**400)], ids=["too large for a float", "too small for a float"])
def test_a_number_that_no_float_holds_is_refused_as_every_other(field, value):
    with pytest.raises(RequestError, match=f"{field}: -?1000.* was given, allowed are numbers"):
        read_sampling({field: value})


def test_a_repetition_penalty_that_would_make_infinite_logits_is_refused():
    with pytest.raises(
        RequestError, match=r"repetition_penalty: 1e-50 was given, allowed are numbers from 0\.01 to 10"
    ):
        read_sampling({"repetition_penalty": 1e-50})
    assert read_sampling({"repetition_penalty": 0.01}).repetition_penalty == 0.01


FOUR = Beams(count=4, length_penalty=2.0, early_stopping=True)


def generation(asked: int | None, defaults: Beams | None, *, stop: tuple[str, ...] = (), **sampling):
    wanted = Asked(
        sampling=AskedSampling(**sampling),
        stop=stop,
        max_tokens=None,
        default_tokens=5,
        fields=FIELDS,
        num_beams=asked,
    )
    return wanted.generation(prompt=None, window=9, limit=None, defaults=GenerationDefaults(beams=defaults))


@pytest.mark.parametrize(
    ("asked", "defaults", "sampling", "expected"),
    [
        pytest.param(None, None, {}, None, id="a model that continues its prompt"),
        pytest.param(1, None, {}, None, id="which may be asked for one beam"),
        pytest.param(None, FOUR, {}, 4, id="the model decides where the client says nothing"),
        pytest.param(2, FOUR, {}, 2, id="what was asked for"),
        pytest.param(1, FOUR, {}, None, id="one beam is no search"),
        pytest.param(3, Beams(count=1), {}, 3, id="a greedy model may search"),
        pytest.param(None, FOUR, {"temperature": 0.7}, None, id="a draw has one beam"),
        pytest.param(2, FOUR, {"temperature": 0.0}, 2, id="a temperature of 0 is no draw"),
    ],
)
def test_beams_are_those_of_the_client_or_of_the_model(asked, defaults, sampling, expected):
    found = generation(asked, defaults, **sampling).beams
    assert found == (None if expected is None else Beams(count=expected, length_penalty=defaults.length_penalty, early_stopping=defaults.early_stopping))  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "defaults", "others", "message"),
    [
        (2, None, {}, "num_beams: 2 was given, this model continues its prompt by one beam; allowed is 1"),
        (2, FOUR, {"do_sample": True}, "num_beams: 2 was given, an answer that is drawn has one beam; allowed is 1"),
        (None, FOUR, {"stop": ("x",)}, "stop: is only allowed with one beam, and this answer has 4; send num_beams: 1"),
    ],
)
def test_a_search_that_cannot_be_is_refused(asked, defaults, others, message):
    with pytest.raises(RequestError) as refused:
        generation(asked, defaults, **others)
    assert str(refused.value) == message


def test_an_answer_that_is_longer_than_the_decoder_can_write_is_refused():
    with pytest.raises(RequestError, match="at most 9 are allowed: an answer of this model has at most 9 tokens"):
        answer_tokens(10, default=None, prompt=None, window=9, limit=None, fields=FIELDS)
