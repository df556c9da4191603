"""A tiny model and a few hundred real sentences, prepared once for all tests of training."""

import pytest
from prepared_runs import DEMO, movie_sentences, write_dataset
from tiny_models import tiny_bert


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, tiny_model):
    if not DEMO.exists():
        pytest.skip("the real sentences are not here: python dev/real_data.py .tuneloop/claims/demo")
    rows = movie_sentences(420)
    splits = {"train": rows[:300], "validation": rows[300:360], "test": rows[360:]}
    folder = tmp_path_factory.mktemp("data") / "sentences"
    write_dataset(folder, splits, model=tiny_model, max_tokens=32)
    return folder
