"""The operator on a cluster in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from operator_harness import OperatorHarness

from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def harness() -> OperatorHarness:
    """An operator on an empty cluster."""
    return OperatorHarness(OperatorSettings(trainer_image="trainer:1", server_image="server:1"))


@pytest.fixture
def new_harness() -> Callable[[], OperatorHarness]:
    """Make further ones."""
    return lambda: OperatorHarness(OperatorSettings(trainer_image="trainer:1", server_image="server:1"))
