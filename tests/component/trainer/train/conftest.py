"""A tiny model and a few hundred sentences, prepared once for all tests of training."""

import pytest
from prepared_runs import write_dataset
from tiny_models import sentences, tiny_bert


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, tiny_model):
    """300 rows to train on, 60 and 60 to evaluate on; every fifth label is wrong, so that a model can learn too much."""
    rows = [(text, other(label) if index % 5 == 0 else label) for index, (text, label) in enumerate(sentences(420))]
    splits = {"train": rows[:300], "validation": rows[300:360], "test": rows[360:]}
    folder = tmp_path_factory.mktemp("data") / "sentences"
    write_dataset(folder, splits, model=tiny_model, max_tokens=32)
    return folder


def other(label: str) -> str:
    return {"class-0": "class-1", "class-1": "class-0"}[label]
