"""What holds for every component test: each starts a process of ours, a gang or a server, or loads a real model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    import pytest

# Models of a few thousand parameters gain nothing from a second thread, and on a busy machine threads that wait for each other cost most
# of the time. Set before torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TOGETHER = ("tests/component/server/", "tests/component/trainer/train/")
"""Folders whose files use one model server, or one process from which ranks are forked: each takes seconds of work to start."""


class FolderScheduling(LoadFileScheduling):
    """Gives each file to one worker, and all files of those folders to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FolderScheduling:
    return FolderScheduling(config, log)
