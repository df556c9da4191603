"""Sessions of all stories fork their warm trainers, model servers and comparators from processes that have imported them: `stand_ins`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
import stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def forks_of_sessions() -> Iterator[None]:
    """Let sessions in this process have forks, too."""
    with patch.dict(os.environ, stand_ins.of_sessions()):
        yield
