"""A comparator never makes a sender wait, keeps within its memory, ends in time, and shows no text."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress

import pytest
from comparator_process import DEADLINE, ROOT, comparator_config, comparing, head_of_copy, pairs_of
from odd_revisions import never, revisions, saying
from raw_http import many_open, resident_mib
from waiting import until

SECRET = "the patient is called Ada"
COPY = {"inputs": SECRET}


def test_it_imports_no_model_library():
    """A comparator is small and starts at once: a fresh process that has imported all of it has none of these."""
    code = (
        "import sys, tuneloop_server.comparator.__main__ as program, tuneloop_server.comparator.service\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    path = f"{ROOT}/api:{ROOT}/server"
    found = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, check=True)
    packages = {*found.stdout.decode().split()}
    assert "tuneloop_server" in packages
    assert packages & {"numpy", "safetensors", "scipy", "tokenizers", "torch", "transformers"} == set()


def test_a_sender_never_waits_for_revisions_that_both_hang(tmp_path):
    """All copies are answered while not one comparison has ended."""
    with (
        revisions(never, never) as (stable, canary),
        comparing(
            comparator_config(stable.port, canary.port, limits={"requestsPerSecond": 10_000, "queueRequests": 50}),
            tmp_path,
        ) as comparator,
    ):
        assert comparator.send([COPY] * 500) == [202] * 500
        found = comparator.counts()
        until(lambda: len(stable.bodies) + len(canary.bodies) == 4, seconds=DEADLINE, what="the pairs under way")
    assert pairs_of(found.live) == 0
    assert found.copies.taken + found.copies.full == 500
    assert 50 <= found.copies.taken <= 50 + 4 + 1  # those that wait, those under way, the one that comes next


def test_ten_thousand_large_copies_to_revisions_that_hang_take_little_memory(tmp_path):
    with (
        revisions(never, never) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port), tmp_path) as comparator,
    ):
        comparator.send([COPY] * 100)
        before = resident_mib(comparator.process.pid)
        body = json.dumps({"inputs": "x" * 100_000}).encode()
        assert comparator.send(body for _ in range(10_000)) == [202] * 10_000
        after, copies = resident_mib(comparator.process.pid), comparator.counts().copies
    assert after - before < 64
    assert copies.full > 9000


def test_the_room_of_a_copy_is_free_again_once_it_was_compared_or_dropped(tmp_path):
    limits = {"queueBytes": 500_000, "requestsPerSecond": 10_000, "bodyBytes": 300_000}
    large, too_large = {"inputs": "x" * 250_000}, {"inputs": "x" * 310_000}
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, limits=limits), tmp_path) as comparator,
    ):
        for number in range(1, 9):
            assert comparator.send([too_large, large], at_once=1) == [202] * 2
            comparator.wait_for_pairs(number)
        copies = comparator.counts().copies
    assert (copies.taken, copies.too_large, copies.full) == (8, 8, 0)


def test_copies_that_never_come_in_whole_take_little_memory_and_keep_no_other_out(tmp_path):
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port), tmp_path) as comparator,
    ):
        comparator.send([COPY])
        before = resident_mib(comparator.process.pid)
        first = head_of_copy(comparator.config.port, 1_000_000) + b"x" * 500_000
        with many_open(comparator.config.port, 100, first=first):
            assert comparator.send([COPY] * 20) == [202] * 20
            assert comparator.wait_for_pairs(21).live.agree == 21
            after = resident_mib(comparator.process.pid)
    assert after - before < 64


def test_it_finishes_the_pairs_under_way_before_it_ends(tmp_path):
    slow = saying("positive", seconds=1.0)
    with (
        revisions(slow, slow) as (stable, canary),
        comparing(
            comparator_config(stable.port, canary.port, drainSeconds=20, limits={"concurrency": 2}), tmp_path
        ) as comparator,
    ):
        comparator.send([COPY] * 20)
        until(lambda: len(stable.bodies) + len(canary.bodies) == 2, seconds=DEADLINE, what="pairs under way")
        assert comparator.stop() == 0
        log = comparator.log.read_text()
    assert len(stable.bodies) == len(canary.bodies)
    assert "ended: 2 pairs were under way, 0 of them were cut off;" in log


def test_it_does_not_wait_longer_for_revisions_that_hang_than_it_may(tmp_path):
    limits = {"answerSeconds": 300, "concurrency": 3}
    with (
        revisions(never, never) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, drainSeconds=4, limits=limits), tmp_path) as comparator,
    ):
        comparator.send([COPY] * 10)
        assert comparator.stop() == 0
        log = comparator.log.read_text()
    # one more had left those that wait, and was next
    assert "ended: 3 pairs were under way, 3 of them were cut off; 6 copies that waited were dropped" in log
    assert "Traceback" not in log


def test_it_ends_in_the_middle_of_a_replay_and_copies_were_compared_beside_it(tmp_path):
    golden = tmp_path / "golden.jsonl"
    golden.write_text((json.dumps({"inputs": SECRET, "label": "positive"}) + "\n") * 10_000)
    limits = {"goldenRequestsPerSecond": 50, "concurrency": 1}
    config = {"path": str(golden), "times": 1}
    with (
        revisions(saying("positive", seconds=0.02), saying("positive")) as (stable, canary),
        comparing(
            comparator_config(stable.port, canary.port, golden=config, limits=limits, drainSeconds=10), tmp_path
        ) as comparator,
    ):
        until(lambda: comparator.counts().golden.rows_done > 3, seconds=DEADLINE, what="a replay that has begun")
        comparator.send([COPY] * 5)
        found = comparator.wait_for_pairs(5)
        assert comparator.stop() == 0
    assert (found.live.agree, found.golden.completed) == (5, 0)
    assert "Traceback" not in comparator.log.read_text()


def test_once_asked_to_stop_it_is_not_ready_takes_no_copies_and_still_shows_its_counts(tmp_path):
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port), tmp_path) as comparator,
    ):
        comparator.send([COPY])
        comparator.wait_for_pairs(1)
        comparator.process.terminate()
        until(lambda: comparator.control("GET", "/readyz").status_code == 503, seconds=DEADLINE, what="it is not ready")
        assert comparator.send([COPY] * 3, at_once=1) == [202] * 3
        copies = comparator.counts().copies
        assert comparator.control("GET", "/healthz").status_code == 200
        assert comparator.process.wait(DEADLINE) == 0
    assert (copies.taken, copies.stopping) == (1, 3)


def open_files(process):
    for link in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # a connection that has ended meanwhile
            yield link.readlink().as_posix()


def test_no_text_is_in_its_log_its_metrics_its_counts_or_on_its_disk(tmp_path):
    golden = tmp_path / "golden.jsonl"
    golden.write_text(json.dumps({"inputs": SECRET, "label": "positive"}) + "\n")
    work = tmp_path / "work"
    work.mkdir()
    config = {"path": str(golden), "times": 1}
    with (
        revisions(saying(SECRET), saying(SECRET, status=500)) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, golden=config), work) as comparator,
    ):
        comparator.send([COPY, f'{{"inputs": "{SECRET}'.encode(), SECRET.encode()], target=f"/?{SECRET.split()[1]}")
        comparator.wait_for_pairs(3)
        canary.answer = saying("positive")
        comparator.send([COPY])
        comparator.wait_for_pairs(4)
        comparator.wait_for_replays()
        shown = comparator.control("GET", "/metrics").text + comparator.control("GET", "/v1/counts").text
        descriptors = list(open_files(comparator.process_folder))
        assert comparator.stop() == 0
    written = "".join(path.read_text() for path in work.iterdir())
    for word in (SECRET, "patient", "Ada"):
        assert word not in shown + written
    assert [path for path in descriptors if path.startswith("/") and not path.startswith("/dev/")] == [
        str(comparator.log)
    ] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "poetry"}, "tuneloop-comparator: task: poetry was given, allowed: "),
        ({"port": "8080"}, "comparator.json: port: "),
    ],
)
def test_a_wrong_configuration_ends_it_with_one_line(tmp_path, changes, message):
    config = comparator_config(1, 2)
    (tmp_path / "comparator.json").write_text(json.dumps(config.to_wire() | changes))
    ended = subprocess.run(
        [sys.executable, "-m", "tuneloop_server.comparator", "--config", str(tmp_path / "comparator.json")],
        env={"PYTHONPATH": f"{ROOT}/api:{ROOT}/server"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (78, 1)
    assert message in ended.stderr


def test_the_control_port_is_for_programs_of_this_machine_where_it_is_on_loopback(tmp_path):
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port), tmp_path) as comparator,
    ):
        assert comparator.control("GET", "/v1/counts", headers={"host": "evil.example"}).status_code == 403
        wrong = comparator.control("GET", "/nothing")
        assert wrong.json()["error"] == (
            "there is no such page; there are: POST /v1/golden; GET /healthz, /readyz, /metrics, /v1/counts"
        )
