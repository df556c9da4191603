"""Finished training runs on disk, which the tests of export publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from finished_runs import RunMaker, bert


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with a tokenizer of whole words."""
    return bert(tmp_path_factory.mktemp("tiny-bert"), layers=2)


@pytest.fixture(scope="session")
def deep_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 12 layers."""
    return bert(tmp_path_factory.mktemp("deep-bert"), layers=12)


@pytest.fixture
def runs(tmp_path: Path, tiny_bert: Path) -> RunMaker:
    return RunMaker(folder=tmp_path, tiny_bert=tiny_bert)


class Posts(list[dict[str, Any]]):
    """Takes the place of the reporter's thread: keeps what was posted."""

    def post(self, **fields: Any) -> None:
        self.append(fields)


@pytest.fixture
def posts() -> Posts:
    return Posts()
