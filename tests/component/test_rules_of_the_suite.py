"""The rules that the suite holds itself to: a unit test is pure, and where every tier is required a skip is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

IMPURE = {
    "a process": "import subprocess, sys; subprocess.run([sys.executable, '-c', ''])",
    "a fork": "import os; os.fork() or os._exit(0)",
    "a port": "import socket; socket.create_server(('127.0.0.1', 0))",
    "a connection": "import socket; socket.create_connection(('127.0.0.1', 1), timeout=1)",
    "an error that is swallowed": (
        "import contextlib, os\n    with contextlib.suppress(Exception):\n        os.system('true')"
    ),
}


def run(folder: Path, *, rules: str, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one test file in a folder of its own under the rules of `tests/<rules>conftest.py`."""
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS / 'support'}\n")
    (folder / "conftest.py").write_text((TESTS / rules / "conftest.py").read_text())
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(folder)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TUNELOOP_"))}
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("statement", IMPURE.values(), ids=IMPURE.keys())
def test_a_unit_test_that_leaves_its_process_fails(tmp_path, statement):
    done = run(tmp_path, rules="unit", test=f"def test_it():\n    {statement}\n")
    assert "1 failed" in done.stdout, done.stdout
    assert "such a test belongs in tests/component" in done.stdout


def test_a_unit_test_may_use_files_threads_and_an_event_loop(tmp_path):
    test = (
        "import asyncio, threading\n"
        "def test_it(tmp_path):\n"
        "    (tmp_path / 'file').write_text('x')\n"
        "    threading.Thread(target=print).start()\n"
        "    assert asyncio.run(asyncio.to_thread(lambda: 1)) == 1\n"
    )
    done = run(tmp_path, rules="unit", test=test)
    assert "1 passed" in done.stdout, done.stdout


SKIPS = {
    "in a test": "import pytest\ndef test_it():\n    pytest.skip({reason!r})\n",
    "by a mark": "import pytest\n@pytest.mark.skipif(True, reason={reason!r})\ndef test_it():\n    pass\n",
    "in a fixture": (
        "import pytest\n@pytest.fixture\ndef it():\n    pytest.skip({reason!r})\ndef test_it(it):\n    pass\n"
    ),
    "of a whole file": "import pytest\npytest.skip({reason!r}, allow_module_level=True)\n",
}


@pytest.mark.parametrize("test", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_fails_where_every_tier_is_required(tmp_path, test):
    test = test.format(reason="no control group can be made")
    done = run(tmp_path, rules="", test=test, TUNELOOP_REQUIRE_CLUSTER="1")
    assert done.returncode != 0, done.stdout
    assert "every test is required here (TUNELOOP_REQUIRE_CLUSTER=1): no control group can be made" in done.stdout


@pytest.mark.parametrize("test", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_is_a_skip_elsewhere(tmp_path, test):
    done = run(tmp_path, rules="", test=test.format(reason="no control group can be made"))
    assert "1 skipped" in done.stdout, done.stdout


def test_a_skip_for_an_allowed_reason_is_a_skip_everywhere(tmp_path):
    test = SKIPS["by a mark"].format(reason="other plans are asked for")
    done = run(tmp_path, rules="", test=test, TUNELOOP_REQUIRE_CLUSTER="1")
    assert "1 skipped" in done.stdout, done.stdout


def test_an_expected_failure_is_no_skip(tmp_path):
    test = "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"
    done = run(tmp_path, rules="", test=test, TUNELOOP_REQUIRE_CLUSTER="1")
    assert "1 xfailed" in done.stdout, done.stdout
