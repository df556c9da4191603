"""The images of the Dockerfile for the tests in this folder, built before the first test (a minute, then cached); marks them `image`.

A machine that cannot build them (no buildah, not root) skips the tests with the reason; with TUNELOOP_REQUIRE_CLUSTER=1 missing Debian packages
are installed, and what then is still impossible is a failure.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from images import base, store, targets
from images.errors import ImageError

HERE = Path(__file__).parent
_IMAGES = pytest.StashKey[dict[str, targets.Built | ImageError]]()
_FIXTURES = {f"{target}_image": target for target in targets.TARGETS}
"""Fixture → the target that it needs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.image)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing now: a cold build takes longer than one test may."""
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    images = session.config.stash[_IMAGES] = {}
    for fixture, target in _FIXTURES.items():
        if fixture in wanted:
            images[target] = _built(target, say=terminal.write_line if terminal else print)


def _built(target: str, *, say) -> targets.Built | ImageError:
    try:
        if _required():
            store.install_packages(say=say)
        return targets.build(target, say=say)
    except ImageError as error:
        return error


def _image(config: pytest.Config, target: str) -> targets.Built:
    built = config.stash[_IMAGES][target]
    if isinstance(built, ImageError):
        _cannot_run(f"images cannot be built: {built}")
    return built


def _required() -> bool:
    return os.environ.get("TUNELOOP_REQUIRE_CLUSTER") == "1"


def _cannot_run(reason: str) -> NoReturn:
    if _required():
        pytest.fail(f"images are required here (TUNELOOP_REQUIRE_CLUSTER=1), but {reason}")
    pytest.skip(f"on this machine {reason}")


@pytest.fixture(scope="session")
def operator_image(request: pytest.FixtureRequest) -> targets.Built:
    """The operator's image."""
    return _image(request.config, "operator")


@pytest.fixture(scope="session")
def trainer_image(request: pytest.FixtureRequest) -> targets.Built:
    """The trainer's image."""
    return _image(request.config, "trainer")


@pytest.fixture(scope="session")
def server_image(request: pytest.FixtureRequest) -> targets.Built:
    """The server's image."""
    return _image(request.config, "server")


@pytest.fixture(scope="session")
def router_image(request: pytest.FixtureRequest) -> targets.Built:
    """The image of routers."""
    return _image(request.config, "router")


@pytest.fixture(scope="session")
def development_image(request: pytest.FixtureRequest) -> targets.Built:
    """The image that the development cluster mounts this tree into."""
    if sys.version_info[:2] != base.PYTHON:
        _cannot_run(
            f"the virtual environment is of Python {sys.version_info[0]}.{sys.version_info[1]}, the image's is 3.11"
        )
    return _image(request.config, "development")
