"""What a container says at its end, in local mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuneloop_cli.local.kubelet.pod_run import termination_message

if TYPE_CHECKING:
    from pathlib import Path

FALLBACK = {"terminationMessagePolicy": "FallbackToLogsOnError"}


@pytest.mark.parametrize(
    ("written", "log", "container", "failed", "message"),
    [
        pytest.param("it ended", "a line", FALLBACK, True, "it ended", id="its own message comes first"),
        pytest.param(None, "a line", FALLBACK, True, "a line", id="a failed one without has its log"),
        pytest.param(None, "a line", FALLBACK, False, "", id="one that did not fail has none"),
        pytest.param(None, "a line", {}, True, "", id="the policy decides"),
        pytest.param(None, None, FALLBACK, True, "", id="it was stopped before it wrote a log"),
    ],
)
def test_a_container_has_a_message(
    tmp_path: Path, written: str | None, log: str | None, container: dict[str, str], failed: bool, message: str
) -> None:
    for name, text in (("message", written), ("log", log)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert termination_message(tmp_path / "message", container, log=tmp_path / "log", failed=failed) == message
