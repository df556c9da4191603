"""The rules that the suite holds itself to: a unit test is pure, and where every tier is required a skip is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
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


PURE = (
    "import asyncio, threading\n"
    "def test_it(tmp_path):\n"
    "    (tmp_path / 'file').write_text('x')\n"
    "    threading.Thread(target=print).start()\n"
    "    assert asyncio.run(asyncio.to_thread(lambda: 1)) == 1\n"
)
SKIPS = {
    "in a test": "import pytest\ndef test_it():\n    pytest.skip({reason!r})\n",
    "by a mark": "import pytest\n@pytest.mark.skipif(True, reason={reason!r})\ndef test_it():\n    pass\n",
    "in a fixture": (
        "import pytest\n@pytest.fixture\ndef it():\n    pytest.skip({reason!r})\ndef test_it(it):\n    pass\n"
    ),
    "of a whole file": "import pytest\npytest.skip({reason!r}, allow_module_level=True)\n",
}
NO_GROUP = {name: test.format(reason="no control group can be made") for name, test in SKIPS.items()}
ALLOWED = SKIPS["by a mark"].format(reason="other plans are asked for")
EXPECTED = "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"


def run(folder: Path, *, rules: str, tests: dict[str, str], **environment: str) -> dict[str, str]:
    """Run test files in a folder of their own under the rules of `tests/<rules>conftest.py`; return what the report says of each.

    They run together: to start pytest takes longer than to run them all.
    """
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS / 'support'}\n")
    (folder / "conftest.py").write_text((TESTS / rules / "conftest.py").read_text())
    for number, test in enumerate(tests.values()):
        (folder / f"test_{number}.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(folder)]
    command += ["--continue-on-collection-errors", f"--junit-xml={folder}/report.xml"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TUNELOOP_"))}
    done = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)
    cases = list(ET.parse(folder / "report.xml").getroot().iter("testcase"))
    assert len(cases) == len(tests), done.stdout
    outcomes = {case.get("classname") or case.get("name"): _outcome(case) for case in cases}
    assert (done.returncode != 0) == any(words.startswith(("failure", "error")) for words in outcomes.values())
    return {name: outcomes[f"test_{number}"] for number, name in enumerate(tests)}


def _outcome(case: ET.Element) -> str:
    """Return `passed`, or `failure`, `error` or `skipped` with all that is said of it."""
    outcome = next(iter(case), None)
    return "passed" if outcome is None else " ".join([outcome.tag, *outcome.attrib.values(), outcome.text or ""])


@pytest.fixture(scope="module")
def of_unit_tests(tmp_path_factory):
    tests = {name: f"def test_it():\n    {statement}\n" for name, statement in IMPURE.items()}
    return run(tmp_path_factory.mktemp("unit"), rules="unit", tests=tests | {"pure": PURE})


@pytest.mark.parametrize("name", IMPURE)
def test_a_unit_test_that_leaves_its_process_fails(of_unit_tests, name):
    assert of_unit_tests[name].startswith("failure")
    assert "such a test belongs in tests/component" in of_unit_tests[name]


def test_a_unit_test_may_use_files_threads_and_an_event_loop(of_unit_tests):
    assert of_unit_tests["pure"] == "passed"


@pytest.fixture(scope="module")
def where_all_are_required(tmp_path_factory):
    tests = NO_GROUP | {"allowed": ALLOWED, "expected": EXPECTED}
    return run(tmp_path_factory.mktemp("required"), rules="", tests=tests, TUNELOOP_REQUIRE_CLUSTER="1")


@pytest.mark.parametrize("name", SKIPS)
def test_a_skip_fails_where_every_tier_is_required(where_all_are_required, name):
    outcome = where_all_are_required[name]
    assert outcome.startswith(("failure", "error"))
    assert "every test is required here (TUNELOOP_REQUIRE_CLUSTER=1): no control group can be made" in outcome


def test_a_skip_for_an_allowed_reason_is_a_skip_everywhere(where_all_are_required):
    assert where_all_are_required["allowed"].startswith("skipped pytest.skip ")


def test_an_expected_failure_is_no_skip(where_all_are_required):
    assert where_all_are_required["expected"].startswith("skipped pytest.xfail ")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    return run(tmp_path_factory.mktemp("elsewhere"), rules="", tests=NO_GROUP)


@pytest.mark.parametrize("name", SKIPS)
def test_a_skip_is_a_skip_elsewhere(elsewhere, name):
    assert elsewhere[name].startswith("skipped")
