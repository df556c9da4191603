"""The whole way of a count: pods that start, restart and are killed, a real Prometheus with our rules, the baseline that the door brings, and PSI."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from scraped_numbers import require_prometheus, scraped
from waiting import eventually

from tuneloop_cli.local.prometheus.configuration import Target
from tuneloop_operator.decide.model_deployment.baseline_counts import features_in
from tuneloop_operator.metrics.baselines import baseline_families
from tuneloop_operator.metrics.recording_rules import recording_rules
from tuneloop_operator.prometheus.answer import Unanswered, Vector
from tuneloop_operator.prometheus.query import PromQL, equals, increase_by

OF = {"namespace": "team", "deployment": "reviews", "revision": "03ab11f0"}
BASELINE = np.array([500, 300, 100, 50, 50])
FIRST, SECOND, THIRD = (
    np.array(counts) for counts in ([40, 60, 90, 60, 50], [10, 90, 90, 60, 50], [0, 100, 80, 90, 30])
)
COUNTER = "tuneloop_feature_bin_total"
RULES = recording_rules().replace("    interval: 1m\n", "    interval: 1s\n")


def smoothed(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def psi(counts: np.ndarray) -> float:
    now, then = smoothed(counts), smoothed(BASELINE)
    return float(((now - then) * np.log(now / then)).sum())


@dataclass
class Pod:
    """A server's page at an address that it keeps over its restarts."""

    port: int = 0
    page: Any = None
    bins: list[Any] = field(default_factory=list)

    def start(self) -> None:
        registry = CollectorRegistry()
        family = Counter(COUNTER.removesuffix("_total"), "Texts.", ["feature", "bin"], registry=registry)
        self.bins = [family.labels(feature="tokens", bin=str(number)) for number in range(len(BASELINE))]
        self.page = start_http_server(self.port, "127.0.0.1", registry=registry)
        self.port = self.page[0].server_port

    def count(self, texts: np.ndarray) -> None:
        for counter, number in zip(self.bins, texts, strict=True):
            counter.inc(int(number))

    def stop(self) -> None:
        server, thread = self.page
        server.shutdown()
        server.server_close()
        thread.join()


def operator() -> CollectorRegistry:
    """Return what the operator shows of the baseline."""
    baseline = {"revision": OF["revision"], "features": [{"name": "tokens", "counts": BASELINE.tolist()}]}
    manifest = {
        "metadata": {"namespace": OF["namespace"], "name": OF["deployment"]},
        "status": {"monitoring": {"baseline": baseline}},
    }

    class Shown:
        def collect(self) -> Any:
            yield from text_string_to_metric_families("".join(f.text for f in baseline_families([manifest])))

    registry = CollectorRegistry()
    registry.register(Shown())
    return registry


@pytest.fixture(scope="module")
def drifted(tmp_path_factory):
    """A Prometheus that has seen two pods, of which one started again and the other was killed. Yields it with what they counted."""
    require_prometheus()
    with ExitStack() as stack:
        a, b = Pod(), Pod()
        for pod in (a, b):
            pod.start()
        found = stack.enter_context(scraped(tmp_path_factory.mktemp("prometheus"), operator(), rules=RULES))
        pods = [Target(address=f"127.0.0.1:{pod.port}", **OF) for pod in (a, b)]
        found.prometheus.targets([*pods, Target(address=found.address, component="operator")])
        found.until(PromQL(f"count({COUNTER} == 0) == 10"))
        a.count(FIRST)
        b.count(FIRST)
        found.until(PromQL(f"sum({COUNTER}) == 600"))
        # it is scraped at 0, for Prometheus sees that a counter began anew only where it is smaller than before
        b.stop()
        b.start()
        found.until(PromQL(f"sum({COUNTER}) == 300 and count({COUNTER}) == 10"))
        b.count(SECOND)
        found.until(PromQL(f"sum({COUNTER}) == 600"))
        # `increase` adds half a scrape at the end of a series: a pod that was scraped twice would weigh a quarter more
        found.until(PromQL(f"min(count_over_time({COUNTER}[1h])) >= 15"))
        a.stop()
        b.count(THIRD)
        found.until(PromQL(f"sum({COUNTER}) == 600 and count({COUNTER}) == 5"))
        yield found, 2 * FIRST + SECOND + THIRD
        b.stop()


def vector(found: Any, query: str) -> Vector:
    answer = found.run(found.door.ask_vector(PromQL(query)))
    assert isinstance(answer, Vector), answer
    return answer


def until(found: Any, holds: Any, what: str) -> None:
    async def fitting() -> bool:
        return bool(await holds())

    found.run(eventually(fitting, seconds=30, what=what))


def test_psi_is_that_of_numpy_on_the_recorded_bins(drifted):
    found, _ = drifted
    query = PromQL('{__name__=~"tuneloop:feature_bin:increase1h|tuneloop:feature_psi:1h"}')

    async def agree() -> bool:
        """Rules are computed one after another: now and then the bins of a moment are there, and its PSI is not."""
        answer = await found.door.ask_vector(query)
        bins = {s.labels["bin"]: s.value for s in answer.series if "bin" in s.labels}
        (recorded,) = [s.value for s in answer.series if "bin" not in s.labels]
        counts = np.array([bins[str(number)] for number in range(len(BASELINE))])
        return abs(psi(counts) - recorded) < 1e-9

    until(found, agree, "the PSI of the recorded bins")


def test_psi_is_near_that_of_what_the_pods_counted(drifted):
    found, counted = drifted

    async def near() -> bool:
        answer = await found.door.ask(PromQL("sum(tuneloop:feature_psi:1h)"))
        return abs(answer.value - psi(counted)) < 0.01

    assert psi(counted) > 0.5
    until(found, near, f"a PSI near {psi(counted)}")


def test_the_door_brings_the_counts_of_a_baseline(drifted):
    found, counted = drifted
    query = increase_by(
        ("feature", "bin"), COUNTER, *(equals(label, value) for label, value in OF.items()), seconds=3600
    )
    (feature,) = features_in(vector(found, query))
    assert feature.name == "tokens"
    assert np.array(feature.counts) / sum(feature.counts) == pytest.approx(counted / counted.sum(), abs=0.02)
    assert sum(feature.counts) == pytest.approx(counted.sum(), rel=0.25)


def test_what_is_no_vector_of_numbers_is_an_error(drifted):
    found, _ = drifted
    for query, sentence in {
        "vector(0) / 0": "NaN",
        "1": "scalar; allowed is a vector",
        f"{COUNTER}[5s]": "matrix; allowed is a vector",
        '"x"': "string; allowed is a vector",
        "sum(": "parse error",
    }.items():
        answer = found.run(found.door.ask_vector(PromQL(query)))
        assert isinstance(answer, Unanswered)
        assert (answer.verdict, sentence in answer.reason) == ("Error", True), answer
    nothing = found.run(found.door.ask_vector(PromQL("nothing_of_this_name")))
    assert isinstance(nothing, Unanswered)
    assert nothing.verdict == "NoData"
