"""The Prometheus of local mode: what it scrapes, where its data lie, and that it ends with its session."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry, Gauge
from scraped_numbers import require_prometheus, scraped
from waiting import until

from tuneloop_cli.local.errors import NoPrometheus
from tuneloop_cli.local.prometheus.configuration import Target
from tuneloop_cli.local.prometheus.local_prometheus import LocalPrometheus
from tuneloop_operator.prometheus.answer import Unanswered
from tuneloop_operator.prometheus.query import equals, total, written

pytestmark = pytest.mark.usefixtures("available")


@pytest.fixture(scope="module")
def available():
    require_prometheus()


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    registry = CollectorRegistry()
    Gauge("own_labels", "As a model server has them.", ["deployment", "revision"], registry=registry).labels(
        deployment="reviews", revision="reviews-own"
    ).set(7)
    begun = time.monotonic()
    Gauge("tuneloop_requests_total", "As a model server counts.", ["revision", "code"], registry=registry).labels(
        revision="reviews-own", code="200"
    ).set_function(lambda: 20 * (time.monotonic() - begun))
    folder = tmp_path_factory.mktemp("session") / "a * folder [x]"
    with scraped(folder, registry) as found:
        yield found


def target(numbers, **labels):
    return Target(address=numbers.address, **{"namespace": "default", "deployment": "reviews"} | labels)


def test_a_series_has_the_labels_of_its_target(numbers):
    numbers.prometheus.targets([target(numbers, revision="reviews-1a2b")])
    matchers = [equals("namespace", "default"), equals("deployment", "reviews"), equals("revision", "reviews-1a2b")]
    numbers.until(total("ticks_total", *matchers))


def test_labels_that_a_series_has_itself_stay(numbers):
    numbers.prometheus.targets([target(numbers, revision="reviews-1a2b")])
    own = total("own_labels", equals("namespace", "default"), equals("revision", "reviews-own"))
    assert numbers.until(own).value == 7.0
    assert isinstance(numbers.ask(written("{exported_revision!=''}", {})), Unanswered)


def test_the_recording_rules_are_those_of_a_cluster(numbers):
    numbers.prometheus.targets([target(numbers)])
    rate = total("tuneloop:requests:rate5m", equals("deployment", "reviews"), equals("revision", "reviews-own"))
    assert numbers.until(rate).value > 0


def test_a_target_without_a_revision_has_no_such_label(numbers):
    numbers.prometheus.targets([target(numbers)])
    numbers.until(total("ticks_total", equals("revision", "")))


def test_what_is_no_target_any_more_has_no_numbers(numbers):
    numbers.prometheus.targets([target(numbers)])
    numbers.until(total("ticks_total"))
    numbers.prometheus.targets([])
    assert numbers.until(total("ticks_total"), Unanswered).verdict == "NoData"


def test_its_data_lie_in_the_folder_and_the_log_names_no_error(numbers):
    folder = numbers.prometheus._folder
    assert {path.name for path in folder.iterdir()} >= {"data", "prometheus.json", "prometheus.log", "targets.json"}
    assert "level=error" not in (folder / "prometheus.log").read_text()


def test_it_ends_with_its_session_and_begins_again_with_the_old_data(tmp_path):
    async def life() -> tuple[int, str]:
        async with LocalPrometheus(tmp_path, say=print) as prometheus:
            return _pid(tmp_path), prometheus.url

    first, _ = asyncio.run(life())
    assert not psutil.pid_exists(first)
    second, _ = asyncio.run(life())
    assert not psutil.pid_exists(second)


def test_it_ends_when_the_body_raises(tmp_path):
    found = []

    async def life() -> None:
        async with LocalPrometheus(tmp_path, say=print):
            found.append(_pid(tmp_path))
            raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        asyncio.run(life())
    assert not psutil.pid_exists(found[0])


SESSION = """
import asyncio, sys
from pathlib import Path
from tuneloop_cli.local.prometheus.local_prometheus import LocalPrometheus

async def life():
    async with LocalPrometheus(Path(sys.argv[1]), say=print):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(life())
"""


def test_it_dies_with_a_session_that_is_killed(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    session = subprocess.Popen([sys.executable, "-c", SESSION, str(tmp_path)], stdout=subprocess.PIPE, env=environment)
    try:
        assert session.stdout is not None
        assert session.stdout.readline() == b"ready\n"
        pid = _pid(tmp_path)
    finally:
        session.send_signal(signal.SIGKILL)
        session.wait()
        session.stdout.close()
    try:
        until(lambda: not _runs(pid), seconds=30, what="the end of Prometheus")
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_what_keeps_it_from_starting_is_named(tmp_path):
    (tmp_path / "data").write_text("no folder")

    async def life() -> None:
        async with LocalPrometheus(tmp_path, say=print):
            raise AssertionError("it started")

    with pytest.raises(
        NoPrometheus, match=r"Prometheus ended as it started \(2\): .*level=error.* not a directory.*prometheus\.log\)"
    ):
        asyncio.run(life())


def _pid(folder: Path) -> int:
    """Return the Prometheus that works in the folder."""
    (found,) = [process.pid for process in psutil.process_iter() if _works_in(process, folder)]
    return found


def _works_in(process: psutil.Process, folder: Path) -> bool:
    with suppress(psutil.Error):
        return process.name() == "prometheus" and process.cwd() == str(folder)
    return False


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
