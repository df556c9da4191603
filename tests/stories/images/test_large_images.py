"""The images with torch in them, which take minutes and gigabytes: they start as pods start them, and hold no tool that built them."""

from __future__ import annotations

import pytest
from images import container, targets

from tuneloop_api.contract.exit_codes import ExitCode

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]
IMPORT_SECONDS = 300.0
"""The first import reads gigabytes from the disk."""


@pytest.fixture(params=["trainer", "server"])
def image(request: pytest.FixtureRequest) -> targets.Built:
    return request.getfixturevalue(f"{request.param}_image")


def run(image: targets.Built, *command: str):
    return container.run(image, command, timeout_seconds=IMPORT_SECONDS)


def test_the_trainer_says_how_it_is_called(trainer_image):
    ended = run(trainer_image, "python", "-m", "tuneloop_trainer", "--help")
    assert (ended.returncode, ended.stderr.split(":")[0]) == (ExitCode.CONFIG, "usage")


def test_the_server_says_how_it_is_called(server_image):
    ended = run(server_image, "python", "-m", "tuneloop_server", "--help")
    assert (ended.returncode, ended.stdout.split(":")[0]) == (0, "usage")


def test_deepspeed_finds_its_torch(trainer_image):
    ended = run(
        trainer_image,
        "python",
        "-c",
        "import tuneloop_trainer.engine.deepspeed_import, torch; print(torch.__version__)",
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("program", ["pip", "gcc", "cc"])
def test_it_has_no(program, image):
    assert run(image, "sh", "-c", f"command -v {program}").returncode != 0


def test_it_runs_as_user_1000(image):
    assert run(image, "id", "-u").stdout.strip() == "1000"
