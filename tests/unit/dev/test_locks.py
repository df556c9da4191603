"""The locks are what pyproject.toml and constraints.txt say, hold a hash for every package and no address; a lock that is stale is named."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from supply_chain import locks, pins

ROOT = pins.ROOT
GO_MODULES = sorted((ROOT / "dev" / "cluster" / "build").glob("*/go.mod"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def replace(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)


def test_the_locks_of_this_tree_are_not_stale():
    assert locks.stale(ROOT) == []


@pytest.mark.parametrize(
    ("file", "pattern", "new", "finding"),
    [
        pytest.param(
            "constraints.txt", r"^kopf==.*", "kopf==9.9", r"requirements/operator\.txt: kopf is .*, constraints\.txt has 9\.9: make locks",
            id="a version was raised",
        ),
        pytest.param("constraints.txt", r"^kopf==.*\n", "", r"constraints\.txt: add kopf==.*, then make locks", id="a pin was removed"),
        pytest.param("constraints.txt", r"\Z", "left-pad==1.0\n", r"constraints\.txt: no lock has left-pad: remove the line", id="a pin of nothing"),
        pytest.param("constraints.txt", r"\Z", "left-pad>=1.0\n", r"constraints\.txt: 'left-pad>=1\.0' is no NAME==VERSION", id="no pin"),
        pytest.param("pyproject.toml", r'"kopf>=[^"]*"', '"kopf", "left-pad"', r"requirements/operator\.txt: left-pad is missing: make locks", id="a new dependency"),
        pytest.param("pyproject.toml", r'"kopf>=[^"]*"', '"kopf>=99"', r"requirements/operator\.txt: kopf is .*, pyproject\.toml wants >=99: change constraints\.txt", id="a dependency was raised"),
        pytest.param("requirements/operator.txt", r"--hash=sha256:[0-9a-f]", "--hash=sha256:", r"requirements/operator\.txt: .* has no hashes, or others than sha256", id="a hash that is too short"),
        pytest.param("requirements/deepspeed.txt", r" *--hash.*\n", "", r"requirements/deepspeed\.txt: deepspeed has no hashes", id="no hash"),
        pytest.param("requirements/operator.txt", r"\A", "--index-url packages.example\n", r"requirements/operator\.txt: '--index-url packages\.example' is no NAME==VERSION", id="an option"),
        pytest.param("requirements/operator.txt", r"\A", "# from https://packages.example\n", r"requirements/operator\.txt: an address stands there", id="an address"),
        pytest.param("requirements/trainer.txt", r"^dill==", "deepspeed==0.1\ndill==", r"requirements/trainer\.txt: deepspeed has a lock of its own", id="what is built among what is not"),
    ],
)  # fmt: skip
def test_what_is_stale_is_named(file, pattern, new, finding, tree):
    replace(tree / file, pattern, new)
    found = locks.stale(tree)
    assert any(re.search(finding, line) for line in found), found


def test_a_missing_lock_is_named(tree):
    (tree / "requirements" / "go.txt").unlink()
    assert "requirements/go.txt: is missing: make locks" in locks.stale(tree)


def test_a_pin_is_read_with_its_hashes_marker_and_parents():
    text = (
        "# header\nCuda_Bindings[all]==13.5 ; sys_platform == 'linux' \\\n"
        f"    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n    # via torch, triton, -c constraints.txt\n"
    )
    (pin,) = pins.pins(text).values()
    assert pin == pins.Pin(
        "cuda-bindings",
        "13.5",
        (f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"),
        "sys_platform == 'linux'",
        ("torch", "triton"),
    )


def test_uv_is_given_what_deepspeed_requires():
    (given,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["dependency-metadata"]
    installed = [Requirement(text) for text in importlib.metadata.requires("deepspeed") or []]
    assert (
        given["version"] == importlib.metadata.version("deepspeed") == pins.read_lock("deepspeed")["deepspeed"].version
    )
    assert {str(Requirement(text)) for text in given["requires-dist"]} == {
        str(requirement) for requirement in installed if requirement.marker is None
    }


@pytest.mark.parametrize("go_mod", GO_MODULES, ids=lambda path: path.parent.name)
def test_go_has_the_hash_of_every_module_that_it_builds(go_mod):
    text = go_mod.read_text()
    required = re.findall(r"^\s*(?:require )?(\S+\.\S+/\S+) (v\S+)", text, re.MULTILINE)
    replaced = {old: (new, version) for old, new, version in re.findall(r"(\S+) => (\S+) (v\S+)", text)}
    modules = {replaced.get(name, (name, version)) for name, version in required}
    sums = go_mod.with_name("go.sum").read_text() if modules else ""
    assert [module for module in modules if f"{' '.join(module)} h1:" not in sums] == []


def test_the_images_take_what_comes_from_an_index_by_hash():
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    commands = [command for command in re.split(r"&&|\n", text) if "/opt/tools/bin/pip" in command]
    calls = [command for command in commands if re.search(r" (install|wheel) ", command)]
    ours = [call for call in calls if "--no-deps" in call and "/wheels" in call and "--requirement" not in call]
    assert [call for call in calls if "--require-hashes" not in call] == ours
    assert len(calls) > len(ours) > 0


def test_the_virtual_environment_takes_all_but_ourselves_by_hash():
    text = (ROOT / "dev" / "make_venv.sh").read_text()
    assert re.findall(r"^install .*", text, re.MULTILINE) == ["install --no-build-isolation --no-deps --editable ."]
    calls = re.findall(r"^.*pip install.*", text, re.MULTILINE)
    assert [call for call in calls if "--require-hashes" not in call] == [
        call for call in calls if call.startswith("install() ")
    ]
