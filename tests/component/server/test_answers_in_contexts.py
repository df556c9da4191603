"""Questions: the server answers as plain transformers does, for models of several architectures, in windows that are those of training."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from plain_answers import PlainAnswers
from server_process import configuration
from tiny_readers import LONGEST, MAX_TOKENS, MODELS, QUESTIONS, STRIDE, pair_tokenizer, tiny_reader

from tuneloop_api.contract.artifact import AnswerSpans
from tuneloop_api.contract.model_inputs import TYPE_IDS, question_text
from tuneloop_api.contract.settings import TaskOptionSettings
from tuneloop_server.errors import RequestError
from tuneloop_server.model import Window
from tuneloop_server.runtimes.pair_tokenizer import PairTokenizer
from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks.question_answering import QUESTION_ANSWERING as TASK
from tuneloop_server.tasks.task import ModelFacts
from tuneloop_trainer.models.tokenizer import load_tokenizer
from tuneloop_trainer.tasks.question_answering import QUESTION_ANSWERING as TRAINED
from tuneloop_trainer.tasks.question_windows import BEGINS, CONTEXT, ENDS, MARKS

TEXTS = [question_text(question, context) for question, context in QUESTIONS]


class Server:
    def __init__(self, folder, architecture: str, *, spans: AnswerSpans | None = None) -> None:
        manifest = tiny_reader(folder, architecture, spans=spans)
        self.model = load(configuration(folder), manifest, TASK)
        self._facts = ModelFacts(
            labels=manifest.labels,
            temperature=1.0,
            vocabulary=self.model.vocabulary,
            answer_spans=manifest.answer_spans,
        )

    def answers(self, **parameters) -> list:
        """All windows of all texts go through the model in one batch."""
        read = TASK.read_parameters(parameters)
        of_texts = self.model.encode(TEXTS, stride=TASK.stride(read))
        outputs = iter(self.model.predict([window for windows in of_texts for window in windows]))
        return [
            TASK.answer(text, [Window(window, next(outputs)) for window in windows], read, self._facts).value
            for text, windows in zip(TEXTS, of_texts, strict=True)
        ]


@pytest.mark.parametrize("architecture", MODELS)
def test_answers_are_those_of_plain_transformers(tmp_path, architecture):
    server = Server(tmp_path, architecture)
    plain = PlainAnswers(tmp_path / "model", max_tokens=MAX_TOKENS, stride=STRIDE, longest=LONGEST)
    answered, nulls = server.answers(top_k=5), server.answers(top_k=100, handle_impossible_answer=True)
    for (question, context), found, with_null in zip(QUESTIONS, answered, nulls, strict=True):
        expected, null = plain.spans(question.replace("\n", " "), context)
        assert [item["score"] for item in found] == pytest.approx(
            [item.score for item in expected[:5]], rel=1e-3, abs=1e-7
        )
        assert (found[0]["start"], found[0]["end"]) == (expected[0].start, expected[0].end)
        assert all(item["answer"] == context[item["start"] : item["end"]] for item in found)
        silent = [item["score"] for item in with_null if item["end"] == 0]
        assert silent == pytest.approx([null], rel=1e-3) or null < with_null[-1]["score"] * 1.01


@pytest.mark.parametrize("architecture", MODELS)
def test_the_windows_are_those_of_training(tmp_path, architecture):
    server = Server(tmp_path, architecture)
    tokenizer = load_tokenizer(tmp_path / "model")
    task = TRAINED.with_options(TRAINED, SimpleNamespace(task_options=TaskOptionSettings(doc_stride=STRIDE)))
    for text, windows in zip(TEXTS, server.model.encode(TEXTS), strict=True):
        trained = task.windows_of_text(tokenizer, text, MAX_TOKENS)
        assert len(windows) == len(trained)
        for window, expected in zip(windows, trained, strict=True):
            columns = expected.token_columns
            inside = columns[MARKS] & CONTEXT > 0
            assert window.ids == expected.input_ids.tolist()
            assert window.type_ids == columns.get(TYPE_IDS, np.zeros(0)).tolist()
            assert (np.array(window.special_tokens) == 0).tolist() == inside.tolist()
            assert (
                np.array(window.offsets)[inside].tolist()
                == np.stack([columns[BEGINS], columns[ENDS]], axis=1)[inside].tolist()
            )
    assert max(map(len, server.model.encode(TEXTS))) > 2


def test_a_request_may_ask_for_another_stride_and_length(tmp_path):
    server = Server(tmp_path, "bert")
    plain = PlainAnswers(tmp_path / "model", max_tokens=MAX_TOKENS, stride=2, longest=1)
    for (question, context), found in zip(QUESTIONS, server.answers(doc_stride=2, max_answer_len=1), strict=True):
        best = plain.spans(question.replace("\n", " "), context)[0][0]
        assert (found["start"], found["end"]) == (best.start, best.end)


@pytest.mark.parametrize(("threshold", "silent"), [(-1000.0, True), (1000.0, False), (None, False)])
def test_the_threshold_of_the_artifact_decides_where_the_request_does_not(tmp_path, threshold, silent):
    spans = AnswerSpans(doc_stride=STRIDE, max_answer_tokens=LONGEST, null_threshold=threshold)
    server = Server(tmp_path, "bert", spans=spans)
    assert [item["answer"] == "" for item in server.answers()] == [silent] * len(TEXTS)
    assert "" not in [item["answer"] for item in server.answers(handle_impossible_answer=False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (question_text("who is it " * 40, "Ada"), "a window of the model has 48, and its context needs a quarter"),
        (question_text("Who?", "Ada " * 30000), "the contexts make more than 256 windows"),
        (question_text("Who?", "\u200b"), "no token of the context of question 1"),
    ],
)
def test_a_pair_that_cannot_be_read_is_refused(tmp_path, text, message):
    with pytest.raises(RequestError, match=message):
        Server(tmp_path, "bert").model.encode([text])


def test_a_model_of_pairs_makes_no_embeddings(tmp_path):
    assert "no embeddings" in Server(tmp_path, "bert").model.embeddings.refusal


def test_long_contexts_are_read_after_each_other_and_short_ones_beside_them():
    tokenizer = PairTokenizer(pair_tokenizer("bert"), max_tokens=MAX_TOKENS, max_windows=10_000, doc_stride=STRIDE)
    read, alone = tokenizer._whole.encode, []

    def encode(question, context):
        alone.append(tokenizer._whole_lock.locked())
        return read(question, context)

    tokenizer._whole = SimpleNamespace(encode=encode)
    for context in ("It is in Denver.", "It is in Denver. " * 1000):
        tokenizer.encode([question_text("Where is it?", context)], stride=None)
    assert alone == [False, True]
