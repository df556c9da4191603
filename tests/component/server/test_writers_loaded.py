"""Encoder-decoders, in this process: answers that join, leave and search with beams are those of plain transformers; what cannot be served is refused when it is loaded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from server_process import configuration
from transformers import GenerationConfig
from writing_models import END, KINDS, MOST_READ, PAD, POSITIONS, VOCABULARY, writing_artifact, writing_model, written

from tuneloop_server.batching.growing_rows import GrowingRows, Row
from tuneloop_server.errors import CannotServe
from tuneloop_server.generation.answer import Generation, GrowingAnswer, Prompt, TokenMeaning
from tuneloop_server.generation.beam_answer import BeamAnswer
from tuneloop_server.generation.beam_search import Beams
from tuneloop_server.generation.sampling import Sampling
from tuneloop_server.runtimes.generation_config import defaults_of_writer
from tuneloop_server.runtimes.row_positions import answer_positions
from tuneloop_server.runtimes.token_rules import TokenRulesOfModel
from tuneloop_server.runtimes.torch_generator import load_generator, try_sources
from tuneloop_server.runtimes.torch_seq2seq_decoder import TorchSeq2SeqDecoder
from tuneloop_server.tasks.text2text_generation import TEXT2TEXT_GENERATION

MOST = 14
SOURCES = [
    np.random.default_rng(seed).integers(4, VOCABULARY, size).tolist() for seed, size in enumerate((9, 2, 5, 14, 3))
]
SOURCES_OF_SEARCHES = [
    np.random.default_rng(100 + seed).integers(4, VOCABULARY, size).tolist()
    for seed, size in enumerate((9, 2, 5, 14, 3, 7, 11, 4, 6, 12))
]


def answer_to(model, source, *, most=MOST, beams: Beams | None = None, repetition_penalty: float = 1.0, **rules):
    """Return an answer to a source, with the rules of generation_config.json."""
    config = model.generation_config.__class__(**model.generation_config.to_dict() | rules)
    meaning = TokenMeaning(
        decode=lambda ids: "".join(f"{token} " for token in ids),
        ends=frozenset([END]),
        rules=TokenRulesOfModel(config, frozenset([END])),
    )
    sampling = Sampling(repetition_penalty=repetition_penalty)
    generation = Generation(max_tokens=most, beams=beams, sampling=sampling)
    kind = GrowingAnswer if beams is None else BeamAnswer
    return kind(Prompt(text="", ids=[PAD], source=source), generation, meaning)


def grown(model, arrivals) -> list[list[int]]:
    """Return the tokens of answers, of which each joins some passes after the one before. arrivals: (answer, pass)."""
    rows, waiting = GrowingRows(TorchSeq2SeqDecoder(model, start=PAD)), list(arrivals)
    found: dict[int, list[int]] = {id(answer): [] for answer, _ in arrivals}
    live, number = [], 0
    while waiting or live:
        joining = [Row(answer) for answer, at in waiting if at <= number]
        waiting = [(answer, at) for answer, at in waiting if at > number]
        live += joining
        for row, pieces in rows.advance(joining):
            assert isinstance(pieces, list), pieces
            found[id(row.answer)] += [piece.token for piece in pieces]
        live = [row for row in live if row.is_wanted]
        number += 1
    return [found[id(answer)] for answer, _ in arrivals]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_that_join_later_and_search_beside_others_are_those_of_plain_transformers(kind):
    model = writing_model(kind)
    searched = [None, Beams(count=3), None, Beams(count=2), None]
    expected = [
        written(model, source, max_new_tokens=MOST, num_beams=1 if beams is None else beams.count)
        for source, beams in zip(SOURCES, searched, strict=True)
    ]
    arrivals = [
        (answer_to(model, source, beams=beams), at)
        for at, (source, beams) in enumerate(zip(SOURCES, searched, strict=True))
    ]
    assert grown(model, arrivals) == expected
    assert len({tuple(tokens) for tokens in expected}) > 1


RULES = [
    pytest.param({}, id="as it likes"),
    pytest.param({"no_repeat_ngram_size": 2}, id="no pair of tokens twice"),
    pytest.param({"min_length": 8}, id="at least seven tokens"),
    pytest.param({"min_new_tokens": 5, "bad_words_ids": [[7], [8, 9], [PAD]]}, id="words that are not allowed"),
    pytest.param({"forced_bos_token_id": 5, "forced_eos_token_id": END}, id="a first and a last token that are given"),
    pytest.param(
        {"suppress_tokens": [4, 6], "begin_suppress_tokens": list(range(4, 40))}, id="tokens that are not written"
    ),
    pytest.param({"repetition_penalty": 1.7}, id="tokens that were there are less probable"),
]
SEARCHES = [
    pytest.param(None, id="greedy"),
    pytest.param(Beams(count=4), id="beams"),
    pytest.param(Beams(count=4, early_stopping=True), id="until there are as many answers as beams"),
    pytest.param(Beams(count=3, early_stopping="never", length_penalty=2.0), id="long answers, to the end"),
    pytest.param(Beams(count=5, length_penalty=-1.0), id="short answers"),
]


@pytest.fixture(scope="module")
def bart():
    return writing_model("bart")


@pytest.mark.parametrize("beams", SEARCHES)
@pytest.mark.parametrize("rules", RULES)
def test_what_generation_config_says_holds_as_in_plain_transformers(bart, rules, beams):
    search = {} if beams is None else {"num_beams": beams.count, "length_penalty": beams.length_penalty, "early_stopping": beams.early_stopping}  # fmt: skip
    expected = [written(bart, source, max_new_tokens=MOST, **search, **rules) for source in SOURCES]
    assert grown(bart, [(answer_to(bart, source, beams=beams, **rules), 0) for source in SOURCES]) == expected


@torch.inference_mode()
def alone(model, source, answer) -> np.ndarray:
    inputs = {"input_ids": torch.tensor([source]), "decoder_input_ids": torch.tensor([answer])}
    return model(**inputs, use_cache=False).logits[0, -1].numpy()


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_rows_change_places_and_double_beside_their_own_sources(kind):
    model = writing_model(kind)
    decoder, sources = TorchSeq2SeqDecoder(model, start=PAD), list(SOURCES[:3])
    answers = [[PAD], [PAD], [PAD]]

    def check(logits):
        for of_row, source, answer in zip(logits, sources, answers, strict=True):
            expected = alone(model, source, answer)
            assert of_row == pytest.approx(expected, abs=1e-3 * float(np.abs(expected).max()))

    def keep_and_step(rows):
        decoder.keep(rows)
        sources[:] = [sources[row] for row in rows]
        answers[:] = [[*answers[row], 5 + place] for place, row in enumerate(rows)]
        check(decoder.step([answer[-1] for answer in answers]))

    check(decoder.add(sources))
    keep_and_step([0, 0, 1])  # as many rows as before, of other sources
    decoder.add([SOURCES[3]])
    sources.append(SOURCES[3])
    answers.append([PAD])
    keep_and_step([3, 0, 2, 1])
    keep_and_step([2, 2, 1])  # the longest source leaves, and its padding with it
    keep_and_step([1, 0, 2])


def test_a_decoder_that_counts_places_otherwise_is_refused_when_it_is_loaded():
    model = writing_model("m2m_100")
    with pytest.raises(ValueError, match=r"m2m_100: two answers .* allowed are encoder-decoders that keep keys"):
        try_sources(model, TorchSeq2SeqDecoder(model, start=PAD))


@pytest.mark.parametrize(("kind", "most"), [("t5", None), ("bart", POSITIONS), ("bert2bert", POSITIONS)])
def test_an_answer_is_as_long_as_the_decoder_has_positions(kind, most):
    assert answer_positions(writing_model(kind)) == most


def test_generation_config_says_how_answers_are_searched_for(caplog):
    config = GenerationConfig(
        num_beams=4, length_penalty=2.0, early_stopping=True, max_length=20, diversity_penalty=0.5
    )
    found = defaults_of_writer(config)
    assert (found.beams, found.max_new_tokens) == (Beams(count=4, length_penalty=2.0, early_stopping=True), 19)
    assert "generation_config.json: diversity_penalty: not known to this server" in caplog.text


def test_memory_cuts_the_answer_and_refuses_a_model_whose_sources_fill_it(tmp_path, monkeypatch):
    manifest = writing_artifact(tmp_path, "bart")
    bytes_per_token = 256
    free = "tuneloop_server.runtimes.torch_generator.free_memory"
    monkeypatch.setattr(free, lambda: 2 * (MOST_READ + 10) * bytes_per_token)
    loaded = load_generator(configuration(tmp_path), manifest, TEXT2TEXT_GENERATION)
    assert (loaded.window, loaded.most_tokens) == (10, MOST_READ + 10)
    monkeypatch.setattr(free, lambda: 2 * MOST_READ * bytes_per_token)
    with pytest.raises(CannotServe, match="keys and values of a text of 16 tokens, 256 bytes each, do not fit"):
        load_generator(configuration(tmp_path), manifest, TEXT2TEXT_GENERATION)


@pytest.mark.parametrize(
    "rules", [{"bad_words_ids": [[VOCABULARY + 5]]}, {"forced_bos_token_id": VOCABULARY}, {"forced_eos_token_id": 999}]
)
def test_rules_for_tokens_that_the_vocabulary_lacks_are_refused_when_the_model_is_loaded(tmp_path, rules):
    manifest = writing_artifact(tmp_path, "t5", **rules)
    words = rf"generation_config.json: its rules do not fit a vocabulary of {VOCABULARY} tokens"
    with pytest.raises(CannotServe, match=words):
        load_generator(configuration(tmp_path), manifest, TEXT2TEXT_GENERATION)


@pytest.mark.parametrize("beams", SEARCHES[1:])
@pytest.mark.parametrize("bias", [1.5, 2.5, 4.0])
def test_searches_whose_answers_end_early_end_where_plain_transformers_ends(bias, beams):
    """bias: of the logit of the end. With little all answers are long, with much the first pass has whole ones."""
    model = writing_model("bart")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.8)
    model.final_logits_bias[0, END] = bias
    search = {"num_beams": beams.count, "length_penalty": beams.length_penalty, "early_stopping": beams.early_stopping}
    expected = [written(model, source, max_new_tokens=MOST, **search) for source in SOURCES_OF_SEARCHES]
    found = grown(model, [(answer_to(model, source, beams=beams), 0) for source in SOURCES_OF_SEARCHES])
    assert found == expected
