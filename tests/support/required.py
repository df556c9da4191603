"""A test that this machine cannot run is skipped with the reason, and fails where nothing may be skipped."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test; fail it with TUNELOOP_REQUIRE_CLUSTER=1, as CI sets it."""
    if os.environ.get("TUNELOOP_REQUIRE_CLUSTER") == "1":
        pytest.fail(f"nothing may be skipped here (TUNELOOP_REQUIRE_CLUSTER=1), but {reason}")
    pytest.skip(reason)
