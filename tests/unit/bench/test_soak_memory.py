"""The pure part of bench/soak.py: which process has which role, and whether the memory of a role grows."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))
from soak_load import EDGES, quantile
from soak_memory import CANARY, COMPARATOR, ENVOY, ROUTER, SERVER, Ledger, Process, role_of, stretches_of

EVERY_SECONDS = 2.0
MIB_AN_HOUR = 1 / 3600


def life(*, begin: float, seconds: float, mib: float, slope: float = 0.0, noise: float = 0.0, seed: int = 0):
    """Return samples of a process that grows by `slope` MiB per hour."""
    times = np.arange(begin, begin + seconds, EVERY_SECONDS)
    wobble = np.random.default_rng(seed).normal(0, noise, len(times)) if noise else 0.0
    sizes = mib + slope * MIB_AN_HOUR * (times - begin) + wobble
    return list(zip(times.tolist(), sizes.tolist(), strict=True))


def ledger_of(*lives, role: str = ROUTER) -> Ledger:
    ledger = Ledger()
    for pid, samples in enumerate(lives, start=1):
        for seconds, mib in samples:
            ledger.add(role, Process(pid, 7), seconds=seconds, mib=mib)
    return ledger


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/usr/bin/python3 -m tuneloop_server /w/server.json", SERVER),
        ("/usr/bin/python3 -m tuneloop_server.comparator /w/comparator.json", COMPARATOR),
        ("/usr/bin/python3 -m tuneloop_router /w/router.json", ROUTER),
        ("/opt/envoy --config-path /w/bootstrap.json --disable-hot-restart", ENVOY),
        ("/usr/bin/python3 -m http.server", None),
        ("", None),
    ],
)
def test_a_role_is_read_from_the_command_line(command, role):
    assert role_of(command.split()) == role


def test_successors_that_are_larger_each_time_are_no_slope():
    lives = [life(begin=200.0 * number, seconds=200, mib=100 + 50 * number) for number in range(4)]
    growth = ledger_of(*lives).growth(ROUTER)
    assert growth.processes == 4
    assert growth.slope == pytest.approx(0, abs=1e-6)


def test_a_pid_that_comes_again_is_another_process():
    ledger = Ledger()
    for start_time, samples in ((7, life(begin=0, seconds=200, mib=100)), (8, life(begin=200, seconds=200, mib=300))):
        for seconds, mib in samples:
            ledger.add(ROUTER, Process(1, start_time), seconds=seconds, mib=mib)
    assert ledger.growth(ROUTER).processes == 2
    assert ledger.growth(ROUTER).slope == pytest.approx(0, abs=1e-6)


def test_each_process_grows_and_so_does_its_role():
    lives = [life(begin=200.0 * number, seconds=200, mib=100, slope=90) for number in range(4)]
    growth = ledger_of(*lives).growth(ROUTER)
    assert growth.slope == pytest.approx(90)
    assert growth.exceeds(60)
    assert not growth.exceeds(100)


def test_what_a_process_takes_at_its_start_is_no_growth():
    starting = [(seconds, 10 * seconds) for seconds in np.arange(0.0, 30.0, EVERY_SECONDS).tolist()]
    growth = ledger_of([*starting, *life(begin=30, seconds=200, mib=300)]).growth(ROUTER)
    assert growth.slope == pytest.approx(0, abs=1e-6)
    assert growth.most_mib == 300


def test_the_interval_holds_the_true_slope_about_as_often_as_it_says():
    lives = [ledger_of(life(begin=0, seconds=900, mib=100, slope=20, noise=1, seed=seed)) for seed in range(200)]
    found = [growth for ledger in lives if (growth := ledger.growth(ROUTER)).low is not None]
    assert len(found) == 200
    held = sum(growth.low <= 20 <= growth.high for growth in found)
    assert 178 <= held <= 199  # of 200 at 95 %: four standard errors


def test_one_step_up_is_in_doubt_and_steps_all_the_time_are_not():
    def with_steps(*times: float):
        return [(s, mib + 10 * sum(s >= step for step in times)) for s, mib in life(begin=0, seconds=1230, mib=100)]

    assert not ledger_of(with_steps(500)).growth(ROUTER).exceeds(0)
    assert ledger_of(with_steps(*range(60, 1200, 55))).growth(ROUTER).exceeds(100)


def test_neighbouring_stretches_share_a_sample_so_that_no_step_falls_between_them():
    parts = stretches_of(life(begin=0, seconds=152, mib=100), settle=30, seconds=60)
    assert len(parts) == 2
    stepped = [(seconds, 100.0 + 10 * (seconds > 90)) for seconds, _ in life(begin=0, seconds=152, mib=100)]
    assert max(part.slope for part in stretches_of(stepped, settle=30, seconds=60)) > 0


def test_a_server_has_longer_to_settle():
    shapes = [(seconds, mib + min(seconds, 250)) for seconds, mib in life(begin=0, seconds=600, mib=500)]
    assert ledger_of(shapes, role=SERVER).growth(SERVER).slope == pytest.approx(0, abs=1e-6)
    assert ledger_of(shapes).growth(ROUTER).slope > 60


def test_a_canary_that_grows_is_shown_and_not_judged():
    growing = ledger_of(life(begin=0, seconds=600, mib=500, slope=500), role=CANARY).growth(CANARY)
    assert growing.slope == pytest.approx(500)
    assert not growing.exceeds(0)


@pytest.mark.parametrize("seconds", [0, 20, 55], ids=["no sample", "not settled", "less than half a stretch"])
def test_a_process_that_lived_too_short_has_no_slope(seconds):
    growth = ledger_of(life(begin=0, seconds=seconds, mib=100)).growth(ROUTER)
    assert (growth.stretches, growth.slope, growth.low) == (0, None, None)
    assert not growth.exceeds(-1e9)


def test_one_stretch_has_a_slope_without_an_interval_and_proves_nothing():
    growth = ledger_of(life(begin=0, seconds=92, mib=100, slope=5000)).growth(ROUTER)
    assert growth.slope == pytest.approx(5000)
    assert not growth.exceeds(0)


def test_a_quantile_is_the_edge_of_its_bin():
    bins = [0] * (len(EDGES) + 1)
    assert quantile(bins, 0.5) == 0
    bins[3], bins[9] = 98, 2
    assert (quantile(bins, 0.5), quantile(bins, 0.99)) == (EDGES[3], EDGES[9])
