"""`tuneloop backtest` on a real Prometheus that is filled with six days of numbers, whose triggers are known by hand."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import yaml
from required import skip_or_fail
from scraped_numbers import require_prometheus

from tuneloop_operator.decide.model_deployment.retraining.triggers.levels import FEATURE_INFLATION, deviations

BEGIN = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
HOUR, DAY = 3600, 86400
END = BEGIN + 6 * DAY
SCRAPE = 240
OF = 'namespace="team",deployment="reviews"'
STABLE = f'{OF},revision="7d1f0b2c"'
REFERENCE, REQUESTS, BINS = 1000, 800, 10
MANIFEST = {
    "apiVersion": "tuneloop.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "reviews", "namespace": "team"},
    "spec": {
        "model": {"uri": "pvc://models/reviews"},
        "retraining": {
            "cooldown": "1d",
            "triggers": [
                {"name": "load", "type": "promql", "query": "sum(app_load)", "threshold": 10, "for": "1h", "clearFor": "2h", "action": "Alert"},
                {"name": "two", "type": "promql", "query": "app_pair", "threshold": 10},
                {"name": "accuracy", "type": "accuracy", "below": 0.9},
                {"name": "drift", "type": "drift"},
                {"name": "labels", "type": "newData", "minNewSamples": 4000},
                {"name": "nightly", "type": "schedule", "schedule": "30 2 * * *", "timeZone": "Europe/Berlin", "action": "Alert"},
            ],
        },
    },
}  # fmt: skip


def load(time: int) -> float | None:
    """20 from 24 h to 30 h, but for an hour without a scrape in the middle; flapping from 48 h to 60 h."""
    hours = (time - BEGIN) / HOUR
    if 27 <= hours < 28:
        return None
    if 24 <= hours < 30:
        return 20.0
    return 20.0 if 48 <= hours < 60 and (time // SCRAPE) % 2 else 1.0


def dump() -> str:
    """Return the samples, a series after the other."""
    bad_from = BEGIN + 2 * DAY
    series = {
        "app_load{}": load,
        'app_pair{n="1"}': lambda _: 20.0,
        'app_pair{n="2"}': lambda _: 20.0,
        f'tuneloop_revision_info{{{STABLE},role="stable"}}': lambda _: 1.0,
        f'tuneloop_revision_info{{{OF},revision="00000000",role="canary"}}': lambda _: 1.0,
        f"tuneloop:feedback_labels:mature{{{STABLE}}}": lambda _: 2000.0,
        f"tuneloop:feedback_predictions:mature{{{STABLE}}}": lambda _: 20000.0,
        f"tuneloop:feedback_correct:mature{{{STABLE}}}": lambda time: 1900.0 if time < bad_from else 1600.0,
        f'tuneloop:feature_psi:24h{{{STABLE},feature="confidence"}}': lambda time: 0.1 if time < bad_from else 0.6,
        f'tuneloop:feature_psi:24h{{{STABLE},feature="length"}}': lambda _: 9.0,
        f'tuneloop:feature_samples:increase24h{{{STABLE},feature="confidence"}}': lambda _: REQUESTS,
        f'tuneloop:feature_samples:increase24h{{{STABLE},feature="length"}}': lambda _: 199.0,
        f'tuneloop_feedback_total{{{STABLE},predicted_by="7d1f0b2c",day="d"}}': lambda time: (time - BEGIN) / 60,
    }
    for feature in ("confidence", "length"):
        series[f'tuneloop_reference_samples{{{STABLE},feature="{feature}"}}'] = lambda _: REFERENCE
        for number in range(BINS):
            series[f'tuneloop_reference_bin_ratio{{{STABLE},feature="{feature}",bin="{number}"}}'] = lambda _: 0.1
    lines = [
        f"{name} {value} {time}"
        for name, at in series.items()
        for time in range(BEGIN, END + 1, SCRAPE)
        if (value := at(time)) is not None
    ]
    return "\n".join([*lines, "# EOF", ""])


def command(folder, *options: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "tuneloop_cli", "backtest", "deployment.yaml", *options]
    return subprocess.run(program, cwd=folder, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    require_prometheus()
    if shutil.which("promtool") is None:
        skip_or_fail("there is no promtool on PATH: it comes with Prometheus, for example apt-get install prometheus")
    folder = tmp_path_factory.mktemp("backtest")
    (folder / "deployment.yaml").write_text(yaml.safe_dump(MANIFEST))
    (folder / "dump.om").write_text(dump())
    return folder


@pytest.fixture(scope="module")
def found(folder):
    """What a replay of all of it finds, as JSON."""
    times = ("--from", "2026-03-02T00:00:00Z", "--to", "2026-03-08T00:00:00Z", "--step", "3m")
    done = command(folder, "--file", "dump.om", *times, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def triggers(found):
    return {trigger["name"]: trigger for trigger in found["triggers"]}


def hours(trigger, state: str) -> list[tuple[float, float]]:
    """Return begin and end of each time in which a trigger was in a state, in hours since the begin."""
    return [
        tuple(round((datetime.fromisoformat(stretch[side]).timestamp() - BEGIN) / HOUR, 1) for side in ("from", "to"))
        for stretch in trigger["states"]
        if stretch["state"] == state
    ]


def test_a_query_fires_after_its_time_and_is_over_after_the_other(triggers):
    load = triggers["load"]
    assert load["fired"] == 1
    assert hours(load, "Firing") == [(25.0, 27.1), (28.0, 32.0)]
    assert hours(load, "Unknown") == [(27.1, 28.0)]
    assert hours(load, "Pending")[0] == (24.0, 25.0)
    assert all(48 <= begin <= 60 for begin, _ in hours(load, "Pending")[1:])


def test_a_query_with_two_series_is_unknown_all_the_time_and_says_why(triggers):
    two = triggers["two"]
    assert (two["unknownRatio"], two["fired"]) == (1, 0)
    assert "more than one series" in two["states"][0]["reason"]


def test_accuracy_fires_a_day_after_it_was_first_seen_to_be_bad(triggers):
    accuracy = triggers["accuracy"]
    assert hours(accuracy, "Firing") == [(72.0, 144.0)]
    assert accuracy["expectedFalse"] == pytest.approx(6 / 365)
    assert "accuracy 80.0% of 2000 labels" in accuracy["states"][-1]["reason"]


def test_drift_is_the_index_over_its_limit_and_a_feature_with_few_requests_is_left_out(triggers):
    drift = triggers["drift"]
    assert hours(drift, "Firing") == [(96.0, 144.0)]
    pending = next(stretch for stretch in drift["states"] if stretch["state"] == "Pending")
    freedom, z = BINS - 1, deviations(365, tests=32)
    quantile = freedom * (1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))) ** 3
    limit = max(0.2, quantile * FEATURE_INFLATION * (1 / REFERENCE + 1 / REQUESTS))
    assert limit > 0.2
    assert pending["value"] == pytest.approx(0.6 / limit, rel=1e-4)


def test_new_labels_and_bad_accuracy_begin_runs_with_a_cooldown_between_them(found):
    """A label a minute makes 4000 in 66.7 h. A run takes the labels with it, so that accuracy asks a day later, and goes on asking."""
    runs = [(run["trigger"], (datetime.fromisoformat(run["at"]).timestamp() - BEGIN) / HOUR) for run in found["runs"]]
    assert [trigger for trigger, _ in runs] == ["labels", "accuracy", "accuracy", "accuracy"]
    assert [at for _, at in runs] == pytest.approx([67, 91, 115, 139], abs=0.6)


def test_a_schedule_comes_at_night_in_its_zone(triggers):
    begins = [begin for begin, _ in hours(triggers["nightly"], "Firing")]
    assert begins == [1.5 + 24 * day for day in range(6)]


def test_a_time_without_a_known_revision_is_refused_with_what_to_do(folder):
    done = command(folder, "--file", "dump.om", "--from", "2026-04-02T00:00:00Z", "--to", "2026-04-02T01:00:00Z")
    assert done.returncode == 2
    assert "--revision 7d1f0b2c" in done.stderr


def test_a_prometheus_that_is_away_ends_with_its_address(folder):
    done = command(folder, "--prometheus", "http://127.0.0.1:9", "--from", "1h")
    assert done.returncode == 1
    assert "http://127.0.0.1:9/api/v1/query_range" in done.stderr
