"""Numbers: the server answers as plain transformers does, for models of several architectures."""

from __future__ import annotations

import numpy as np
import pytest
from artifacts_of_architectures import MAX_TOKENS, save_artifact
from server_process import configuration, word_salads
from transformers import pipeline

from tuneloop_server.model import Window
from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks.task import ModelFacts
from tuneloop_server.tasks.text_regression import TEXT_REGRESSION as TASK

TEXTS = word_salads(12, longest=40)


@pytest.mark.parametrize("model_type", ["albert", "bert", "distilbert", "roberta", "t5"])
def test_numbers_are_those_of_the_pipeline_of_transformers(tmp_path, model_type):
    manifest = save_artifact(tmp_path, model_type, task=TASK.name, labels=("LABEL_0",), problem_type="regression")
    plain = pipeline("text-classification", model=str(tmp_path / "model"), function_to_apply="none", top_k=None)
    expected = plain(TEXTS, truncation=True, max_length=MAX_TOKENS)

    model = load(configuration(tmp_path), manifest, TASK)
    facts = ModelFacts(labels=manifest.labels, temperature=1.0, vocabulary=model.vocabulary)
    texts = [window for (window,) in model.encode(TEXTS)]
    windows = [Window(text, logits) for text, logits in zip(texts, model.predict(texts), strict=True)]
    answered = [TASK.answer("", [window], TASK.read_parameters({}), facts).value for window in windows]

    assert [[item["label"] for item in answer] for answer in answered] == [["LABEL_0"]] * len(TEXTS)
    found, wanted = (np.array([answer[0]["score"] for answer in answers]) for answers in (answered, expected))
    assert np.ptp(wanted) > 0
    assert found == pytest.approx(wanted, abs=1e-5, rel=1e-5)
