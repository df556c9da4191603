"""Fill-mask gives what the pipeline of transformers gives: for every kind of tokenizer and several architectures."""

from __future__ import annotations

import pytest
import torch
from artifact import write_manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import configuration
from tiny_masked import MASK, MASKED, tiny_masked
from tiny_taggers import tiny_tagger_tokenizer

from tuneloop_server.errors import CannotServe
from tuneloop_server.model import Window
from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks.fill_mask import FILL_MASK, read_parameters
from tuneloop_server.tasks.task import ModelFacts

WORDS = st.sampled_from(["Ada", "Lovelace", "London,", "Zugspitze", "東京は", "Москва", "café", "O'Neill's", ".", "</s>", "<pad>"])  # fmt: skip
MASKS = st.sampled_from([MASK, f"{MASK}.", f"x{MASK}", f"{MASK}{MASK}"])
TEXTS = st.tuples(st.lists(WORDS, max_size=3), MASKS, st.lists(st.one_of(WORDS, MASKS), max_size=3)).map(
    lambda parts: " ".join([*parts[0], parts[1], *parts[2]])
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={"top_k": st.integers(1, 9), "targets": st.lists(st.sampled_from(["ada", "Ada", "London", "▁London", "berg", "東京"]), min_size=1, max_size=4)},
)  # fmt: skip


class Served:
    """The same artifact as this server and as a pipeline loads it."""

    def __init__(self, folder, architecture):
        from transformers import pipeline

        self.manifest = tiny_masked(folder, architecture, max_tokens=64)
        self.model = load(configuration(folder), self.manifest, FILL_MASK)
        self.pipeline = pipeline("fill-mask", model=str(folder / "model"), device="cpu")
        self.pipeline.tokenizer.model_input_names = ["input_ids", "attention_mask"]
        self.facts = ModelFacts(labels=(), temperature=1.0, vocabulary=self.model.vocabulary)

    def answers(self, texts, parameters):
        """The answers of the server; all texts share a forward pass."""
        windows = [window for (window,) in self.model.encode(texts)]
        outputs = self.model.predict(windows)
        asked = read_parameters(parameters)
        return [
            FILL_MASK.answer(text, [Window(window, output)], asked, self.facts).value
            for text, window, output in zip(texts, windows, outputs, strict=True)
        ]

    def expected(self, text, parameters):
        return self.pipeline(text, tokenizer_kwargs={"truncation": True, "max_length": self.manifest.max_tokens}, **parameters)  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Artifacts by architecture, each loaded once."""
    loaded = {}

    def of(architecture):
        if architecture not in loaded:
            loaded[architecture] = Served(tmp_path_factory.mktemp(architecture), architecture)
        return loaded[architecture]

    return of


def alike(found, expected):
    """Whether answers are equal but for rounding; tokens of one score may change places."""
    if isinstance(expected[0], list):
        assert len(found) == len(expected)
        for of_mask, wanted in zip(found, expected, strict=True):
            alike(of_mask, wanted)
        return
    assert [item["score"] for item in found] == pytest.approx([item["score"] for item in expected], rel=1e-4, abs=1e-7)
    by_token = {item["token"]: item for item in found}
    assert by_token.keys() == {item["token"] for item in expected}
    for item in expected:
        assert {name: by_token[item["token"]][name] for name in ("token_str", "sequence")} == {
            name: item[name] for name in ("token_str", "sequence")
        }


@pytest.mark.parametrize("architecture", MASKED)
def test_tokens_are_those_of_the_pipeline_of_transformers(served, architecture):
    served = served(architecture)

    @settings(deadline=None, max_examples=8, database=None)
    @given(text=TEXTS, parameters=PARAMETERS)
    def holds(text, parameters):
        plain = text.replace("</s>", "").replace(
            "<pad>", ""
        )  # the pipeline reads these as special tokens, the server as text
        (found, _) = served.answers([plain, f"{MASK} beside it, and longer than the other text is"], parameters)
        alike(found, served.expected(plain, parameters))

    holds()


def test_other_special_tokens_in_a_text_are_text(served):
    ((window,),) = served("bert").model.encode([f"a </s> b {MASK}"])
    vocabulary = served("bert").model.vocabulary
    assert [vocabulary.token(token) for token in window.ids].count("</s>") == 1
    assert window.ids.count(vocabulary.mask_id) == 1


def test_the_last_layer_computes_at_the_mask_tokens_alone(served):
    model = served("roberta").model
    shapes = []
    handle = model._model.get_output_embeddings().register_forward_hook(
        lambda _, __, output: shapes.append(output.shape)
    )
    windows = [window for (window,) in model.encode([f"{MASK} {MASK} Ada", f"Ada {MASK}", "Ada met Charles Babbage"])]
    outputs = model.predict(windows)
    handle.remove()
    size = len(served("roberta").pipeline.tokenizer)
    assert [output.shape for output in outputs] == [(2, size), (1, size), (0, size)]
    assert shapes == [torch.Size([3, size])]


def test_a_tokenizer_without_a_mask_token_is_refused(tmp_path):
    tiny_masked(tmp_path, "bert")
    tiny_tagger_tokenizer("bert").save_pretrained(tmp_path / "model")
    manifest = write_manifest(tmp_path, [], name="masked", max_tokens=24, temperature=1.0, task="fill-mask")
    with pytest.raises(CannotServe, match="its tokenizer has no mask token"):
        load(configuration(tmp_path), manifest, FILL_MASK)
