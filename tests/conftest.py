"""What holds for every test: where all tests are required, a skip is a failure (`required_tests`), and no example of Hypothesis has a time limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import required_tests
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator

settings.register_profile("without-deadline", settings(), deadline=None)  # a busy machine is no defect
settings.load_profile("without-deadline")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--begin-with",
        action="append",
        default=[],
        metavar="FILE",
        help="run the tests of the file of this name first; may be repeated",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(config.getoption("--begin-with"))}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if required_tests.are_all_required():
        required_tests.fail_unless_allowed(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A file that skips itself while it is collected counts, too."""
    report = yield
    if required_tests.are_all_required():
        required_tests.fail_unless_allowed(report)
    return report
