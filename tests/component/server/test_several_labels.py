"""Several labels: the server answers as plain transformers does, for models of several architectures."""

from __future__ import annotations

import numpy as np
import pytest
from artifacts_of_architectures import MAX_TOKENS, save_artifact
from server_process import configuration, word_salads
from transformers import pipeline

from tuneloop_server.model import Window
from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks.multi_label_classification import MULTI_LABEL_CLASSIFICATION as TASK
from tuneloop_server.tasks.task import ModelFacts

TEXTS = word_salads(12, longest=40)


@pytest.mark.parametrize("function", [None, "softmax", "none"])
@pytest.mark.parametrize("model_type", ["albert", "bert", "distilbert", "gpt2", "llama", "roberta", "t5"])
def test_scores_are_those_of_the_pipeline_of_transformers(tmp_path, model_type, function):
    manifest = save_artifact(tmp_path, model_type, task=TASK.name, problem_type="multi_label_classification")
    plain = pipeline("text-classification", model=str(tmp_path / "model"), top_k=None)
    asked = {} if function is None else {"function_to_apply": function}
    expected = plain(TEXTS, truncation=True, max_length=MAX_TOKENS, **asked)

    model = load(configuration(tmp_path), manifest, TASK)
    facts = ModelFacts(labels=manifest.labels, temperature=1.0, vocabulary=model.vocabulary)
    texts = [window for (window,) in model.encode(TEXTS)]
    windows = [Window(text, logits) for text, logits in zip(texts, model.predict(texts), strict=True)]
    answered = [TASK.answer("", [window], TASK.read_parameters(asked), facts).value for window in windows]

    assert [[item["label"] for item in answer] for answer in answered] == [
        [item["label"] for item in answer] for answer in expected
    ]
    found, wanted = (
        np.array([[item["score"] for item in answer] for answer in answers]) for answers in (answered, expected)
    )
    assert found == pytest.approx(wanted, abs=1e-5, rel=1e-5)
