"""An image is built again when, and only when, something that enters it has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from images.targets import key_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "api" / "__pycache__").mkdir(parents=True)
    (tmp_path / "api" / "model.py").write_text("A = 1")
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    return tmp_path


def key(tree: Path) -> str:
    return key_of(tree, ("Dockerfile", "api"), salt="base")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("Dockerfile", id="the recipe"),
        pytest.param("api/model.py", id="a source"),
        pytest.param("api/new.py", id="a new source"),
    ],
)
def test_a_change_of_what_enters_an_image_builds_it_again(path, tree):
    before = key(tree)
    (tree / path).write_text("B = 2")
    assert key(tree) != before


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("api/__pycache__/model.pyc", id="bytecode"),
        pytest.param("notes.md", id="a file outside of it"),
    ],
)
def test_nothing_else_does(path, tree):
    before = key(tree)
    (tree / path).write_text("B = 2")
    assert key(tree) == before
