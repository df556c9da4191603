"""What the tests of the trainer's stages share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import tiny_bert


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model"))
