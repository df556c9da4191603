"""What holds for every component test: each starts a process of ours, a gang or a server, or loads a real model."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import cluster_tier
import pytest
from cluster import binaries
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Models of a few thousand parameters gain nothing from a second thread, and on a busy machine threads that wait for each other cost most
# of the time. Set before torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_SERVER, _RANKS, _ROUTER = (
    "one process from which model servers are forked",
    "one process from which ranks are forked",
    "one router",
)
TOGETHER = {
    "tests/component/server/": _SERVER,
    "tests/component/comparator/test_real_servers.py": _SERVER,
    "tests/component/dev/test_loop_traffic.py": _SERVER,
    "tests/component/router/": _ROUTER,
    "tests/component/trainer/train/": _RANKS,
    "tests/component/trainer/diagnosis/": _RANKS,
    "tests/component/trainer/export/test_other_processes.py": _RANKS,
}
"""Files that run in the same worker, by what they share: it takes seconds of work to start."""


class SharingScheduling(LoadFileScheduling):
    """Gives each file to one worker, and all files that share something to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((shared for place, shared in TOGETHER.items() if file.startswith(place)), file)


@pytest.fixture(autouse=True)
def _signals_do_what_they_did() -> Iterator[None]:
    """A stage that fails in this process leaves SIGTERM ignored, and every process that is started later would inherit that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    cluster_tier.build_programs(session, fixture="kstatus_program", programs=["kstatus"])


@pytest.fixture(scope="session")
def kstatus_program(request: pytest.FixtureRequest) -> Path:
    """The program that computes what tools make of an object; built on first use, before the first test (a minute, once per machine)."""
    cluster_tier.check_build(request.config)
    return binaries.ensure("kstatus") / "kstatus"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharingScheduling:
    return SharingScheduling(config, log)
