"""What control groups of both versions say, from files as the kernel writes them."""

from __future__ import annotations

import os

import pytest

from tuneloop_api.contract import cgroup


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Write files of a control group; returns nothing."""
    monkeypatch.setattr(cgroup, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroup, "OWN", tmp_path / "own")

    def write(own: str | None, files: dict[str, str]) -> None:
        if own is not None:
            (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


V1 = "4:memory:/pod\n3:cpu,cpuacct:/pod\n0::/\n"


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5, id="version 2, in a container"),
        pytest.param(
            "0::/pod/a\n", {"pod/a/cpu.max": "50000 100000\n", "cpu.max": "max 100000\n"}, 0.5, id="version 2, own path"
        ),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, None, id="version 2, no limit"),
        pytest.param(
            V1, {"cpu/pod/cpu.cfs_quota_us": "200000", "cpu/pod/cpu.cfs_period_us": "100000"}, 2.0, id="version 1"
        ),
        pytest.param(
            V1,
            {"cpu/pod/cpu.cfs_quota_us": "-1", "cpu/pod/cpu.cfs_period_us": "100000"},
            None,
            id="version 1, no limit",
        ),
        pytest.param(
            "0::/kubepods/a\n",
            {"cpu.max": "50000 100000\n"},
            0.5,
            id="version 2, the path of the machine in a container",
        ),
        pytest.param(
            V1,
            {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
            0.5,
            id="version 1, the path of the machine in a container",
        ),
        pytest.param(
            V1,
            {"memory/pod/cpu.cfs_quota_us": "50000", "memory/pod/cpu.cfs_period_us": "100000"},
            None,
            id="version 1, another controller's folder",
        ),
        pytest.param(None, {"cpu.max": "50000 100000\n"}, 0.5, id="own path unreadable"),
        pytest.param("", {}, None, id="no control group"),
    ],
)
def test_the_quota_of_cores(kernel, own, files, quota):
    kernel(own, files)
    assert cgroup.cpu_quota() == quota


def test_a_small_quota_still_leaves_one_core(kernel):
    kernel("0::/\n", {"cpu.max": "10000 100000\n"})
    assert cgroup.usable_cores() == 1


def test_a_quota_beyond_the_cores_that_may_be_used_adds_none(kernel, monkeypatch):
    kernel("0::/\n", {"cpu.max": "350000 100000\n"})
    for cores, usable in ((2, 2), (8, 3)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        assert cgroup.usable_cores() == usable


def test_no_quota_means_all_cores_that_may_be_used(kernel):
    kernel("", {})
    assert cgroup.usable_cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("own", "files", "kills"),
    [
        pytest.param("0::/\n", {"memory.events": "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"}, 2, id="version 2"),
        pytest.param(
            V1, {"memory/pod/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"}, 1, id="version 1"
        ),
        pytest.param(
            V1, {"memory/pod/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}, 0, id="version 1, no count"
        ),
        pytest.param("", {}, 0, id="no control group"),
    ],
)
def test_kills_for_want_of_memory(kernel, own, files, kills):
    kernel(own, files)
    assert cgroup.oom_kills() == kills


STATS = "anon 100\nactive_file 300\ninactive_file 200\n"


@pytest.mark.parametrize(
    ("own", "files", "free"),
    [
        pytest.param("0::/\n", {"memory.max": "max\n", "memory.current": "900\n"}, 4096_000, id="version 2, no limit"),
        pytest.param(
            "0::/\n", {"memory.max": "2000\n", "memory.current": "900\n", "memory.stat": STATS}, 1600, id="version 2"
        ),
        pytest.param(
            V1,
            {"memory/pod/memory.limit_in_bytes": "2000", "memory/pod/memory.usage_in_bytes": "900"},
            1100,
            id="version 1",
        ),
        pytest.param("0::/\n", {"memory.max": "2000\n", "memory.current": "2100\n"}, 0, id="all is taken"),
        pytest.param(None, {}, 4096_000, id="no group"),
    ],
)
def test_free_memory_is_that_of_the_machine_within_the_limit(kernel, tmp_path, monkeypatch, own, files, free):
    monkeypatch.setattr(cgroup, "MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:   4000 kB\n")
    kernel(own, files)
    assert cgroup.free_memory() == free
