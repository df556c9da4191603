"""The development image runs this tree's code with the packages of the repository's virtual environment, both only mounted."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
from images import archive, container, targets

SHELVES = ("api", "operator", "trainer", "server", "cli")


@pytest.fixture(scope="session")
def mounts() -> dict[Path, str]:
    """What the development cluster mounts into every container."""
    packages = {Path(sysconfig.get_path("purelib")): "/opt/tuneloop/site-packages"}
    return packages | {targets.ROOT / shelf: f"/opt/tuneloop/src/{shelf}" for shelf in SHELVES}


def test_it_is_little_more_than_its_base(development_image):
    base = archive.read(development_image.base_archive)
    assert archive.read(development_image.archive).bytes_over(base) < 1_000_000


@pytest.mark.parametrize(
    ("module", "folder"),
    [
        pytest.param("torch", "/opt/tuneloop/site-packages/torch", id="torch, of the environment"),
        pytest.param("deepspeed", "/opt/tuneloop/site-packages/deepspeed", id="deepspeed, of the environment"),
        pytest.param("tuneloop_trainer", "/opt/tuneloop/src/trainer/tuneloop_trainer", id="the trainer, of the tree"),
        pytest.param("tuneloop_server", "/opt/tuneloop/src/server/tuneloop_server", id="the server, of the tree"),
        pytest.param(
            "tuneloop_operator", "/opt/tuneloop/src/operator/tuneloop_operator", id="the operator, of the tree"
        ),
    ],
)
def test_it_imports(module, folder, development_image, mounts):
    ended = container.run(
        development_image, ["python", "-c", f"import {module}; print({module}.__path__[0])"], read_only=mounts
    )
    assert ended.stdout.splitlines()[-1:] == [folder], ended.stderr


@pytest.mark.parametrize("program", ["tuneloop_trainer", "tuneloop_server", "tuneloop_operator"])
def test_it_starts(program, development_image, mounts):
    ended = container.run(development_image, ["python", "-m", program, "--help"], read_only=mounts)
    assert "usage" in (ended.stdout + ended.stderr).lower()
