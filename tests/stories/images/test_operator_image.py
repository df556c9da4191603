"""The operator's image is small, says what it is, and runs as pods run it: as uid 1000, on a root that it cannot write."""

from __future__ import annotations

import pytest
from images import archive, container, targets
from supply_chain import pins

LIMIT_MB = 200


@pytest.fixture(scope="session")
def contents(operator_image: targets.Built) -> archive.Archive:
    return archive.read(operator_image.archive)


@pytest.fixture(scope="session")
def added_files(operator_image: targets.Built, contents: archive.Archive) -> list[str]:
    """The paths of everything that lies over the base."""
    layers = contents.layers_over(archive.read(operator_image.base_archive))
    return [path for layer in layers for path in contents.files_of(layer)]


def python(image: targets.Built, code: str) -> str:
    """Run a program in the image; returns what it printed."""
    ended = container.run(image, ["python", "-c", code])
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_it_adds_little_to_its_base(operator_image, contents):
    added = contents.bytes_over(archive.read(operator_image.base_archive)) / 1e6
    print(f"the operator's image: {added:.0f} MB over its base")
    assert added <= LIMIT_MB


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("site-packages/torch/", id="torch"),
        pytest.param("site-packages/pip/", id="pip"),
        pytest.param("/.cache/", id="a pip cache"),
        pytest.param("etc/pip.conf", id="how the building machine reaches its index"),
        pytest.param("ca-certificates.crt", id="whom the building machine trusts"),
        pytest.param("bin/gcc", id="a compiler"),
        pytest.param("site-packages/websocket/tests/", id="tests of packages"),
    ],
)
def test_it_does_not_hold(part, added_files):
    assert not [path for path in added_files if part in f"{path}/"]


def test_what_it_runs_is_compiled_already(added_files):
    assert any("tuneloop_operator/controller/__pycache__/operator." in path for path in added_files)


@pytest.mark.parametrize("label", ["title", "description", "licenses", "source", "version", "revision", "base.name"])
def test_its_labels_say(label, contents):
    assert contents.config["Labels"][f"org.opencontainers.image.{label}"]


def test_its_version_is_that_of_the_package_in_it(operator_image, contents):
    installed = python(operator_image, "import importlib.metadata as m; print(m.version('tuneloop'))")
    assert contents.config["Labels"]["org.opencontainers.image.version"] == installed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        # Kubernetes compares runAsNonRoot with a number only
        pytest.param("User", "1000:1000", id="a user by number"),
        pytest.param("Entrypoint", ["python", "-m", "tuneloop_operator"], id="no shell in between"),
        pytest.param("StopSignal", "SIGTERM", id="the signal that the operator understands"),
        pytest.param("WorkingDir", "/home/tuneloop", id="a folder that pods can write"),
    ],
)
def test_it_starts_with(field, value, contents):
    assert contents.config[field] == value


def test_it_runs_as_user_1000(operator_image):
    assert python(operator_image, "import os; print(os.getuid(), os.getgid(), os.path.expanduser('~'))") == (
        "1000 1000 /home/tuneloop"
    )


def test_it_holds_what_its_lock_has(operator_image):
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    # Debian's pip and setuptools are not among them: the virtual environment does not see the system's packages
    installed = {pins.normalized(line) for line in python(operator_image, code).splitlines()}
    locked = {pins.normalized(f"{pin.name}=={pin.version}") for pin in pins.read_lock("operator").values()}
    assert {line for line in installed if not line.startswith("tuneloop==")} == locked


def test_the_operator_starts_on_a_root_that_it_cannot_write(operator_image):
    ended = container.run(operator_image, ["python", "-m", "tuneloop_operator", "--help"])
    assert ended.returncode == 0, ended.stderr
    assert "TUNELOOP_NAMESPACES" in ended.stdout


def test_outside_of_a_pod_it_ends_with_a_sentence(operator_image):
    ended = container.run(operator_image, ["python", "-m", "tuneloop_operator"])
    assert (ended.returncode, "TUNELOOP_POD_" in ended.stderr, "Traceback" in ended.stderr) == (2, True, False)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/opt/venv/x", 1, id="its programs"),
        pytest.param("/etc/x", 1, id="the system"),
        pytest.param("/tmp/x", 0, id="but scratch space"),
        pytest.param("/home/tuneloop/x", 0, id="and its home"),
    ],
)
def test_nothing_can_be_written_in(path, status, operator_image):
    assert container.run(operator_image, ["touch", path]).returncode == status


def test_the_sources_of_the_key_are_those_that_enter_the_build():
    lines = (targets.ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{source}" for source in targets.TARGETS["operator"].sources} - {"!.dockerignore"} == {
        line for line in lines if line.startswith("!")
    }
