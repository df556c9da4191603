"""The API server goes away, the leader falls asleep: the operator lives, two never write at once, and the work goes on."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cluster.control_plane import ControlPlane
from cluster.processes import recorded, send
from cluster_tier import fresh_namespace, install_crds
from end_state import reference
from fault_plans import RESTARTED, scripts_of
from fault_proxy import FaultProxy, Invoke, Match, Rule, writes
from namespace_client import OVER, NamespaceClient
from operator_process import RunningOperator
from pod_scripts import Until, before_the_end, succeed
from pod_status_patcher import PodStatusPatcher
from waiting import until

SETTINGS = {"progress_url": "https://tuneloop-progress.test:8443"}
KINDS = ("Job", "Pod", "Service", "ConfigMap", "NetworkPolicy")


def uids(client: NamespaceClient) -> set[str]:
    return {child["metadata"]["uid"] for kind in KINDS for child in client.all(kind)}


# ---- the API server -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_plane(tmp_path_factory):
    """A control plane that the tests may stop."""
    with ControlPlane(tmp_path_factory.mktemp("plane")) as plane:
        install_crds(plane)
        yield plane


class Away:
    """The API server is gone, and comes back."""

    def begin(self, plane: ControlPlane) -> None:
        plane.stop_api_server()

    def end(self, plane: ControlPlane) -> None:
        plane.start_api_server()
        plane.restart_controller_manager()


class WithoutItsStore:
    """The API server is there, but every read and write of it waits: etcd is stopped."""

    def begin(self, plane: ControlPlane) -> None:
        self._signal(plane, signal.SIGSTOP)

    def end(self, plane: ControlPlane) -> None:
        self._signal(plane, signal.SIGCONT)
        until(lambda: plane.request("GET", "/readyz").status == 200, seconds=120, what="a ready API server")

    def _signal(self, plane: ControlPlane, number: int) -> None:
        (etcd,) = (program for program in recorded(plane.state) if program.name == "etcd")
        send(etcd.pid, number)


class FullStore:
    """The API server is there and reads, but every write of it is refused: etcd is out of space. Source: etcd's API, Maintenance.Alarm."""

    def begin(self, plane: ControlPlane) -> None:
        self._alarm(plane, "ACTIVATE")

    def end(self, plane: ControlPlane) -> None:
        self._alarm(plane, "DEACTIVATE")

    def _alarm(self, plane: ControlPlane, action: str) -> None:
        (etcd,) = (program for program in recorded(plane.state) if program.name == "etcd")
        arguments = Path(f"/proc/{etcd.pid}/cmdline").read_text().split("\0")
        url = next(argument.split("=")[1] for argument in arguments if argument.startswith("--listen-client-urls="))
        member = asked(f"{url}/v3/maintenance/status", {})["header"]["member_id"]
        asked(f"{url}/v3/maintenance/alarm", {"action": action, "memberID": member, "alarm": "NOSPACE"})
        refused = plane.request("POST", "/api/v1/namespaces", {"metadata": {"generateName": "full-"}}).status == 500
        assert refused == (action == "ACTIVATE")


def asked(url: str, body: dict[str, str]) -> dict[str, Any]:
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=30) as response:
        answer: dict[str, Any] = json.loads(response.read())
    return answer


@pytest.mark.parametrize(
    ("outage", "seconds"),
    [
        pytest.param(Away(), 20, id="20 s"),
        pytest.param(Away(), 120, id="2 min", marks=pytest.mark.full),
        pytest.param(WithoutItsStore(), 20, id="etcd stopped for 20 s"),
        pytest.param(FullStore(), 20, id="etcd full for 20 s"),
    ],
)
def test_the_operator_outlives_an_api_server_that_is_away(own_plane, tmp_path, outage, seconds, record_property):
    go = threading.Event()
    scripts = {"train": before_the_end(succeed, Until(go))}
    with (
        fresh_namespace(own_plane) as namespace,
        PodStatusPatcher(own_plane, scripts=scripts),
        RunningOperator(own_plane, tmp_path, namespaces=namespace, pod_namespace=namespace) as operator,
    ):
        client = NamespaceClient(own_plane, namespace)
        operator.wait_ready()
        client.submit()
        client.wait_for_phase("reviews", "Running")
        before = uids(client)
        outage.begin(own_plane)
        stay_alive(operator, seconds=seconds)
        go.set()  # the pods end as soon as the API server is back to learn of their end
        outage.end(own_plane)
        came_back = time.monotonic()
        until(lambda: client.phase() != "Running", seconds=30, what="a status that catches up")
        record_property("caught_up_seconds", time.monotonic() - came_back)
        client.wait_for_phase("reviews", "Succeeded")
        assert before <= uids(client)
        assert (client.status()["attempt"], client.status().get("restarts")) == (1, None)


def stay_alive(operator: RunningOperator, *, seconds: float) -> None:
    """Watch the process for so long: it must live and say so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert operator.process.poll() is None, operator.log[-2000:]
        assert operator.get("/healthz")[0] == 200
        time.sleep(0.5)


# ---- a leader that sleeps -------------------------------------------------------------------------------------------------------------

HELD = {
    "a create of a Job": Match(verb="create", resource="jobs", name="restarted-a1"),
    "a create of a ConfigMap": Match(verb="create", resource="configmaps", name="restarted-a1"),
    "an apply of a Service": Match(verb="apply", resource="services"),
    "a write of the status": Match(verb="patch", resource="finetunejobs", subresource="status", nth=3),
}
"""Writes that the sleeping leader has sent, and that land when the other one has done all the work."""


@pytest.fixture
def clients(custom_resources):
    """One namespace for each write that is held back, and one in which nothing is."""
    with ExitStack() as stack:
        yield {
            what: NamespaceClient(custom_resources, stack.enter_context(fresh_namespace(custom_resources)))
            for what in [*HELD, "nothing"]
        }


@pytest.mark.timeout(400)
def test_what_a_sleeping_leader_has_sent_lands_too_late_to_do_harm(custom_resources, namespace, clients, tmp_path):
    go = threading.Event()
    settings = SETTINGS | {
        "pod_namespace": namespace,
        "namespaces": ",".join(client.namespace for client in clients.values()),
    }
    with (
        PodStatusPatcher(custom_resources, scripts=scripts_of([RESTARTED])),
        FaultProxy(custom_resources, folder=tmp_path / "first") as before_first,
        FaultProxy(custom_resources, folder=tmp_path / "second") as before_second,
        RunningOperator(None, tmp_path, pod="a", kubeconfig=before_first.kubeconfig, **settings) as first,
    ):
        first.wait_ready().wait_leading()
        held = [before_first.add(hold(match, clients[what].namespace, go)) for what, match in HELD.items()]
        with RunningOperator(None, tmp_path, pod="b", kubeconfig=before_second.kubeconfig, **settings) as second:
            second.wait_ready()
            for client in clients.values():
                client.submit("restarted")
            for rule in held:
                rule.wait(timeout_seconds=60)
            first.process.send_signal(signal.SIGSTOP)
            second.wait_leading()
            for what, client in clients.items():
                until(lambda client=client: client.phase("restarted") in OVER, seconds=90, what=what)
                until(client.is_idle, seconds=60, what=what)
            fence = len(before_first.trace)
            first.process.send_signal(signal.SIGCONT)
            assert first.wait() == 1, first.log[-2000:]
            assert "b leads now" in first.log
            # a write for which it was just connecting when it fell asleep is sent when it wakes up, and refused
            awake = [call for call in writes(before_first.trace[fence:]) if call.is_applied and not call.faults]
            assert awake == [], "a write of the stale leader landed after it woke up"
            go.set()
            until(lambda: len(late(before_first)) >= len(HELD), seconds=60, what="the late writes")
            time.sleep(1.0)  # for what they might set off
            codes = {f"{call.verb} {call.resource}": call.code for call in late(before_first)}
            clean = reference([clients["nothing"].end_state()])
            assert {what: clean.differences(client.end_state()) for what, client in clients.items()} == {
                what: [] for what in clients
            }, codes


def hold(match: Match, namespace: str, go: threading.Event) -> Rule:
    """Hold a call back until the test lets it go on."""
    which = {"namespace": namespace, "nth": match.nth or 1}
    return Rule(Match(**vars(match) | which), Invoke(lambda _: go.wait(300) and None))


def late(proxy: FaultProxy) -> list:
    return [call for call in proxy.trace if "call" in call.faults]
