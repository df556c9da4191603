"""Debian's package of Prometheus, by the real apt from a repository of the test: fetched, compared, unpacked, kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from required import skip_or_fail

from tuneloop_cli.local.errors import NoPrometheus
from tuneloop_cli.local.prometheus.program import find_program

VERSION = "2.42.0+ds-5"
PROGRAM = "#!/bin/sh\necho from the package\n"


@dataclass(frozen=True)
class Machine:
    """A machine whose only package source is a folder, and without Prometheus on PATH."""

    repository: Path
    cache: Path
    sentences: list[str]

    def offer(
        self, *, version: str = VERSION, program: str | None = "usr/bin/prometheus", digest: str | None = None
    ) -> None:
        """Put a package into the source. digest: what its list says of it."""
        tree = self.repository.parent / f"tree-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: prometheus\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.com>\nDescription: t\n"
        (tree / "DEBIAN" / "control").write_text(control)
        if program is not None:
            (tree / program).parent.mkdir(parents=True)
            (tree / program).write_text(PROGRAM)
            (tree / program).chmod(0o755)
        file = self.repository / f"prometheus_{version}_all.deb"
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, file], check=True, capture_output=True)
        found = digest or hashlib.sha256(file.read_bytes()).hexdigest()
        rest = f"Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {found}\n"
        (self.repository / "Packages").write_text(control + rest)

    def find(self) -> Path:
        return find_program(self.cache, say=self.sentences.append)

    @property
    def kept(self) -> set[str]:
        """The paths of all that is in the cache."""
        return {str(path.relative_to(self.cache)) for path in self.cache.rglob("*")}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    if lacking := [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]:
        skip_or_fail(f"there is no {' and no '.join(lacking)} here")
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "Packages").write_text("")
    # by `copy:` apt reads a folder as it reads a server; `trusted` stands for a signature
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] copy:{repository} ./\n")
    (tmp_path / "parts").mkdir()
    settings = {"SourceList": tmp_path / "sources.list", "SourceParts": tmp_path / "parts"}
    (tmp_path / "apt.conf").write_text("".join(f'Dir::Etc::{name} "{path}";\n' for name, path in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setenv("PATH", str(path_without("prometheus", tmp_path / "bin")))
    return Machine(repository=repository, cache=tmp_path / "cache" / "prometheus", sentences=[])


def path_without(program: str, folder: Path) -> Path:
    """Return a folder with links to all programs on PATH but one."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for path in Path(place).glob("*"):
            if path.name != program and not os.path.lexists(folder / path.name):
                (folder / path.name).symlink_to(path)
    return folder


def test_the_program_on_path_is_taken(machine, tmp_path):
    (tmp_path / "bin" / "prometheus").write_text(PROGRAM)
    (tmp_path / "bin" / "prometheus").chmod(0o755)
    assert machine.find() == tmp_path / "bin" / "prometheus"
    assert machine.sentences == []


def test_the_package_is_unpacked_into_an_empty_cache_once(machine):
    machine.offer()
    program = machine.find()
    assert program == machine.cache / VERSION / "prometheus"
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "from the package\n"
    assert machine.kept == {VERSION, f"{VERSION}/prometheus"}
    assert len(machine.sentences) == 1
    assert f"fetching Debian's package into {machine.cache}" in machine.sentences[0]
    (machine.repository / "Packages").unlink()
    assert machine.find() == program
    assert len(machine.sentences) == 1


def test_the_program_that_was_kept_last_is_taken(machine):
    machine.offer()
    old = machine.find()
    new = machine.cache / "3.0" / "prometheus"
    new.parent.mkdir()
    new.write_text(PROGRAM)
    new.chmod(0o755)
    os.utime(old, (0, 0))
    assert machine.find() == new


def test_what_was_not_kept_whole_is_no_program(machine):
    machine.offer()
    (machine.cache / "1.0").mkdir(parents=True)
    (machine.cache / "new-x" / "content").mkdir(parents=True)
    assert machine.find() == machine.cache / VERSION / "prometheus"


def test_a_package_that_another_process_kept_meanwhile_stays(machine, monkeypatch):
    machine.offer()
    other = machine.cache / VERSION / "prometheus"
    other.parent.mkdir(parents=True)
    other.write_text("of the other process")  # not executable yet: it does not count as kept
    assert machine.find() == other
    assert other.read_text() == "of the other process"


@pytest.mark.parametrize(
    ("offer", "sentence"),
    [
        pytest.param(None, "Debian's package of Prometheus cannot be had", id="no such package"),
        pytest.param(
            {"digest": "0" * 64}, "Debian's package of Prometheus cannot be had", id="another file than the list says"
        ),
        pytest.param({"program": None}, "has no usr/bin/prometheus", id="an empty package"),
        pytest.param({"program": "usr/sbin/prometheus"}, "has no usr/bin/prometheus", id="a program elsewhere"),
    ],
)
def test_what_cannot_be_used_leaves_nothing(machine, offer, sentence):
    if offer is not None:
        machine.offer(**offer)
    with pytest.raises(NoPrometheus, match=sentence) as caught:
        machine.find()
    assert "sudo apt-get install prometheus" in str(caught.value)
    assert machine.kept == set()


def test_a_file_that_changed_on_the_way_is_refused(machine, tmp_path):
    """apt compares too, and so this apt brings another file than it has compared."""
    machine.offer()
    real = tmp_path / "bin" / "apt-get"
    content = f'#!/bin/sh\n{real.resolve()} "$@" && for file in *.deb; do [ ! -f "$file" ] || echo x >> "$file"; done\n'
    real.unlink()
    real.write_text(content)
    real.chmod(0o755)
    with pytest.raises(NoPrometheus, match=r"has the SHA-256 [0-9a-f]{64}, and the package list has [0-9a-f]{64}"):
        machine.find()
    assert machine.kept == set()


@pytest.mark.parametrize("tool", ["apt-get", "dpkg-deb"])
def test_a_machine_without_apt_is_told_what_to_do(machine, tmp_path, tool):
    (tmp_path / "bin" / tool).unlink()
    with pytest.raises(NoPrometheus, match=f"no Prometheus on PATH, and no {tool} to fetch it: install Prometheus"):
        machine.find()
    assert machine.sentences == []


def test_a_cache_that_cannot_be_written_is_named(machine):
    machine.offer()
    machine.cache.parent.write_text("a file")
    with pytest.raises(NoPrometheus, match=f"cannot be kept in {machine.cache}"):
        machine.find()
