"""Token classification gives what the pipeline of transformers gives: for every kind of tokenizer, for every strategy."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import configuration
from tiny_taggers import ARCHITECTURES, CORPUS, LABELS, tiny_tagger

from tuneloop_server.model import Window
from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks.task import ModelFacts
from tuneloop_server.tasks.token_classification import TOKEN_CLASSIFICATION, read_parameters

STRATEGIES = ("none", "simple", "first", "average", "max")
WORDS = st.sampled_from([
    *["Ada", "Lovelace", "London", "Zugspitze", "Saint-Étienne", "東京は", "Москва", "👩\u200d👩\u200d👧\u200d👦", "🇩🇪", "𝒳𝒴", "café", "É", "ﬁ", "½", "İ", "—", "...", "'", "."],
    "\u200b", "\u00a0", "\n", "  ", "\t", "a\u0301\u0323", "O'Neill's",
])  # fmt: skip
TEXTS = st.one_of(
    st.lists(WORDS, max_size=24).map(" ".join),
    st.lists(WORDS, max_size=12).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
PARAMETERS = st.fixed_dictionaries(
    {"aggregation_strategy": st.sampled_from(STRATEGIES)},
    optional={"ignore_labels": st.lists(st.sampled_from(["O", "PER", "B-PER", "LOC", "MISC", ""]), max_size=3)},
)


class Tagger:
    """The same artifact as this server and as a pipeline loads it."""

    def __init__(self, folder, architecture):
        from transformers import pipeline

        self.manifest = tiny_tagger(folder, architecture)
        self.model = load(configuration(folder), self.manifest, TOKEN_CLASSIFICATION)
        self.pipeline = pipeline("token-classification", model=str(folder / "model"), device="cpu")
        self.facts = ModelFacts(labels=LABELS, temperature=1.5, vocabulary=self.model.vocabulary)

    def served(self, texts, parameters):
        """The answers of the server; all windows of all texts share a forward pass."""
        parameters = read_parameters(parameters)
        windows = self.model.encode(texts, stride=parameters.stride)
        logits = iter(self.model.predict([window for of_text in windows for window in of_text]))
        return [
            TOKEN_CLASSIFICATION.answer(
                text, [Window(window, next(logits)) for window in of_text], parameters, self.facts
            ).value
            for text, of_text in zip(texts, windows, strict=True)
        ]

    def expected(self, text, parameters):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the pipeline warns of tokenizers without sub-word prefix
            return as_json(self.pipeline(text, **parameters))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def tagger(request, tmp_path_factory):
    return Tagger(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module", params=["bert", "roberta", "gpt2", "xlm-roberta"])
def kind(request, tmp_path_factory):
    """A tagger for each kind of tokenizer, with and without special tokens."""
    return Tagger(tmp_path_factory.mktemp(request.param), request.param)


def as_json(entities):
    return [
        {name: value if isinstance(value, str) else float(value) for name, value in entity.items()}
        for entity in entities
    ]


def assert_same(served, expected):
    assert [without_score(entity) for entity in served] == [without_score(entity) for entity in expected]
    scores = [entity["score"] for entity in served]
    assert scores == pytest.approx([entity["score"] for entity in expected], abs=1e-6)


def without_score(entity):
    return {name: value for name, value in entity.items() if name != "score"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_architecture_answers_as_its_pipeline_does(tagger, strategy):
    parameters = {"aggregation_strategy": strategy}
    for text, served in zip(CORPUS, tagger.served(CORPUS, parameters), strict=True):
        assert_same(served, tagger.expected(text, parameters))


WINDOWS = list(product(["simple", "first", "average", "max"], [0, 1, 9]))
EACH_ONCE = {("simple", 0), ("first", 1), ("average", 9), ("max", 1)}


@pytest.mark.parametrize(
    ("strategy", "stride"),
    [pytest.param(*cell, marks=[] if cell in EACH_ONCE else [pytest.mark.full]) for cell in WINDOWS],
)
def test_every_architecture_reads_a_long_text_in_windows_as_its_pipeline_does(tagger, strategy, stride):
    reads_as_its_pipeline(tagger, strategy, stride)


@pytest.mark.parametrize(("strategy", "stride"), WINDOWS)
def test_every_kind_of_tokenizer_reads_windows_of_any_stride_by_any_strategy(kind, strategy, stride):
    reads_as_its_pipeline(kind, strategy, stride)


def reads_as_its_pipeline(tagger, strategy, stride):
    text = " ".join(CORPUS)
    parameters = {"aggregation_strategy": strategy, "stride": stride}
    (served,) = tagger.served([text], parameters)
    expected = tagger.expected(text, parameters)
    if expected and expected[0]["start"] == expected[0]["end"]:
        del expected[0]  # the pipeline gives an entity without characters twice if it is the first one
    assert_same(served, expected)


def test_the_tags_of_the_tiny_models_differ(tagger):
    """Else the tests above would prove little."""
    texts = tagger.served(CORPUS, {"aggregation_strategy": "none", "ignore_labels": []})
    assert len({element["entity"] for served in texts for element in served}) >= 2


@settings(deadline=None, max_examples=15)
@given(texts=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=3), parameters=PARAMETERS)
def test_any_text_is_answered_as_the_pipeline_answers_it(kind, texts, parameters):
    for text, served in zip(texts, kind.served(texts, parameters), strict=True):
        assert_same(served, kind.expected(text, parameters))


@settings(deadline=None, max_examples=25)
@given(
    text=TEXTS.filter(str.strip),
    parameters=PARAMETERS,
    tags=st.integers(0, 2**32 - 1),
    sure=st.sampled_from([0.0, 6.0, 60.0]),
)
def test_tags_as_trained_models_give_them_form_the_same_entities(kind, text, parameters, tags, sure):
    """Logits that are equal for both: neighbours mostly share a tag, with high probability, or all labels are equally probable."""
    ((window,),) = kind.model.encode([text])
    logits = trained_like_logits(len(window), seed=tags, sure=sure)
    served = TOKEN_CLASSIFICATION.answer(text, [Window(window, logits)], read_parameters(parameters), kind.facts)
    assert_same(served.value, pipeline_on(kind.pipeline, text, logits, parameters))


def trained_like_logits(tokens, *, seed, sure):
    source = np.random.default_rng(seed)
    change = source.random(tokens) < 0.4
    labels = source.integers(0, len(LABELS), tokens)[np.maximum.accumulate(np.where(change, np.arange(tokens), 0))]
    noise = source.integers(-2, 3, (tokens, len(LABELS))) * 0.5  # few values, so that ties occur
    return (noise + sure * np.eye(len(LABELS))[labels]).astype(np.float32)


def pipeline_on(pipeline, text, logits, parameters):
    """What the pipeline makes of a text whose model gave these logits."""
    (inputs,) = pipeline.preprocess(text, is_split_into_words=False)
    outputs = inputs | {"logits": torch.from_numpy(logits)[None]}
    _, _, options = pipeline._sanitize_parameters(**parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return as_json(pipeline.postprocess([outputs], **options))


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
def test_offsets_point_into_the_text_as_it_was_sent(kind, texts):
    for text, served in zip(texts, kind.served(texts, {"ignore_labels": []}), strict=True):
        for entity in served:
            assert 0 <= entity["start"] <= entity["end"] <= len(text)


def test_offsets_count_characters_also_beyond_the_basic_plane(kind):
    text = "👩‍👩‍👧‍👦 𝒳 London"
    (served,) = kind.served([text], {"aggregation_strategy": "none", "ignore_labels": []})
    last = max(element["end"] for element in served)
    first = next(element["start"] for element in served if element["end"] > text.index("London"))
    assert (text[first:last].strip(), last) == ("London", len(text))
