"""What the test command repeats of failures below its table."""

import pytest
from run_tests import MOST_CHARACTERS, failures_in

CASE = 'classname="tests.stories.local.test_canary" name="test_it[a]"'


@pytest.mark.parametrize(
    ("cases", "lines"),
    [
        (f"<testcase {CASE}/>", ()),
        (f'<testcase {CASE}><skipped message="no disk"/></testcase>', ()),
        (
            f'<testcase {CASE}><failure message="AssertionError: 3 == 4&#10;more"/></testcase>',
            ("tests/stories/local/test_canary.py::test_it[a]: AssertionError: 3 == 4",),
        ),
        (
            f'<testcase {CASE}><error message="failed on setup"/></testcase><testcase {CASE}/>',
            ("tests/stories/local/test_canary.py::test_it[a]: failed on setup",),
        ),
        (f"<testcase {CASE}><failure/></testcase>", ("tests/stories/local/test_canary.py::test_it[a]: no message",)),
    ],
    ids=["passed", "skipped", "failed", "an error in a fixture", "without a message"],
)
def test_a_line_for_each_failed_test(tmp_path, cases, lines):
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert failures_in(report) == lines


def test_long_messages_are_cut(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(f'<testsuite><testcase {CASE}><failure message="{"x" * 1000}"/></testcase></testsuite>')
    assert failures_in(report)[0].endswith(": " + "x" * MOST_CHARACTERS)


def test_a_tier_without_a_report_has_no_lines(tmp_path):
    assert failures_in(tmp_path / "none.xml") == ()
