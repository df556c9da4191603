"""The whole way of a label: tokens of two revisions' servers, their counts in a real Prometheus with our rules, the gate's query, and what it finds.

The clocks of the servers stand two days back while they predict, so that the day of the predictions is mature now.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from typing import Any

import pytest
from feedback_in_memory import FeedbackServer
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from query_walks import BEGAN, CANARY, STABLE, after
from scraped_numbers import require_prometheus, scraped

from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
from tuneloop_cli.local.prometheus.configuration import Target
from tuneloop_operator.decide.model_deployment.feedback_gate import critical
from tuneloop_operator.decide.model_deployment.query_gates import query_gates_of
from tuneloop_operator.decide.model_deployment.query_readings import query_results
from tuneloop_operator.metrics.recording_rules import recording_rules
from tuneloop_operator.prometheus.answer import Unanswered
from tuneloop_operator.prometheus.query import PromQL, written
from tuneloop_operator.state.gate_inputs import QueryAnswer

TWO_DAYS = 172_800
PREDICTIONS = 400
LABELS = {
    "worse": ((140, 60), (180, 20)),
    "equal": ((178, 22), (180, 20)),
    "few": ((20, 79), (180, 20)),
    "fresh": ((140, 60), (180, 20)),
}
"""By deployment: right and wrong of the promoted revision, and of the one before."""
RULES = recording_rules().replace("    interval: 1m\n", "    interval: 1s\n")


def labelled(folder: Any, deployment: str, *, at: float) -> list[FeedbackServer]:
    """Return the servers of both revisions after their predictions at a time, and labels that each got for those of the other, as by a router."""
    servers = [
        FeedbackServer(folder, revision=revision, deployment=deployment, now=at) for revision in (CANARY, STABLE)
    ]
    for predicting, taking, (right, wrong) in zip(servers, reversed(servers), LABELS[deployment], strict=True):
        tokens = [predicting.predict("positive") for _ in range(PREDICTIONS)]
        for number, token in enumerate(tokens[: right + wrong]):
            taking.take(token, "positive" if number < right else "negative")
    for server in servers:
        server.now = time.time()
    return servers


def operator() -> CollectorRegistry:
    """Return what the operator shows of these deployments."""
    registry = CollectorRegistry()
    delay = Gauge("tuneloop_model_deployment_label_delay_seconds", "", ["namespace", "deployment"], registry=registry)
    for deployment in LABELS:
        delay.labels(namespace="team", deployment=deployment).set(3600)
    return registry


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A Prometheus that scrapes the servers of all deployments, and has computed our rules."""
    require_prometheus()
    keys = tmp_path_factory.mktemp("keys")
    with ExitStack() as stack:
        pages = [("", "", operator())]
        for deployment in LABELS:
            at = time.time() - (0 if deployment == "fresh" else TWO_DAYS)
            pages += [(deployment, s.revision, s.monitoring.registry) for s in labelled(keys, deployment, at=at)]
        targets = []
        for deployment, revision, registry in pages:
            page, thread = start_http_server(0, "127.0.0.1", registry=registry)
            stack.callback(thread.join)
            stack.callback(page.server_close)
            stack.callback(page.shutdown)
            address = f"127.0.0.1:{page.server_port}"
            targets.append(Target(address=address, namespace="team", deployment=deployment, revision=revision))
        found = stack.enter_context(scraped(tmp_path_factory.mktemp("prometheus"), CollectorRegistry(), rules=RULES))
        found.prometheus.targets(targets)
        whole = 2 * PREDICTIONS * (len(LABELS) - 1)
        found.until(PromQL(f"sum(tuneloop:feedback_predictions:mature) == {whole}"))
        found.until(PromQL("sum(tuneloop:feedback_labels:mature) == 1099"))
        found.until(PromQL("count(tuneloop:feedback_correct:mature) == 6"))
        yield found


def gate_of(**gate: Any):
    spec = {"name": "late", "metric": "FeedbackAccuracy", "margin": 0.02} | gate
    (found,) = query_gates_of(RolloutOptions.from_wire({"gates": [spec]}))
    return found


def query(deployment: str, **gate: Any) -> PromQL:
    names = {"namespace": "team", "deployment": deployment, "revision": CANARY, "previous": STABLE}
    return written(gate_of(**gate).query, names)


def found_by_the_gate(numbers: Any, deployment: str) -> tuple[str, str]:
    """Return the verdict and what the gate asks for, after three answers of Prometheus a minute apart."""
    gate, memories = gate_of(), []
    for minute in (1, 2, 3):
        answer = numbers.ask(query(deployment))
        (reading,) = query_results(
            [gate],
            [QueryAnswer(gate=gate.name, revision=CANARY, answer=answer, at=after(60 * minute))],
            canary=CANARY,
            stable="",
            step=1000,
            step_began=BEGAN,
            now=after(60 * minute),
            memories=memories,
            is_baking=True,
        )
        memories = [reading.memory]
    return reading.summary.verdict.value, reading.summary.action.value


def test_a_revision_that_late_labels_show_to_be_worse_is_rolled_back(numbers):
    assert found_by_the_gate(numbers, "worse") == ("Fail", "RollBack")


def test_an_equal_revision_bakes_on(numbers):
    assert found_by_the_gate(numbers, "equal")[0] == "Pass"


@pytest.mark.parametrize("deployment", ["few", "fresh", "nowhere"])
def test_too_few_labels_of_mature_days_are_no_data(numbers, deployment):
    assert isinstance(numbers.ask(query(deployment)), Unanswered)
    assert found_by_the_gate(numbers, deployment) == ("NoData", "Hold")


def test_the_number_is_the_lower_limit_of_harm(numbers):
    z = critical(0.05)

    def wilson(right: int, labels: int, sign: int) -> float:
        spread = z * math.sqrt(right * (labels - right) / labels + z * z / 4)
        return (right + z * z / 2 + sign * spread) / (labels + z * z)

    low = 0.2 - math.hypot(wilson(140, 200, 1) - 0.7, 0.9 - wilson(180, 200, -1))
    assert numbers.ask(query("worse")).value == pytest.approx(low, abs=1e-5)
    assert low > 0.02


def test_a_smaller_alpha_gives_a_smaller_number(numbers):
    assert numbers.ask(query("worse", alpha=0.001)).value < numbers.ask(query("worse")).value
