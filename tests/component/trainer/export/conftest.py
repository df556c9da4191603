"""Finished training runs on disk, which the tests of export publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from finished_runs import RunMaker, bert

from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.export.stage import export


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


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> tuple[RunConfig, Path]:
    """A run with adapters and its artifact, for tests that only look at them."""
    runs = RunMaker(folder=tmp_path_factory.mktemp("published"), tiny_bert=tiny_bert)
    config = runs.tiny(method=MethodSettings(type="lora", rank=4))
    return config, Path(export(config, Posts()).artifact_path)
