"""The operator's clock and the API server's differ by hours: what the operator writes and decides is by the API server's, and one alone leads."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fault_proxy import FaultProxy, Match, Rule, ShiftDate
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from pod_scripts import Until, before_the_end, succeed
from pod_status_patcher import PodStatusPatcher
from waiting import until
from wrong_clock import WrongClock

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.control_plane import ControlPlane

AHEAD = timedelta(hours=2)


def test_the_operator_writes_the_time_of_the_api_server(custom_resources, namespace, tmp_path):
    """Here the clock of the API server is the wrong one: the `Date` of each answer is later."""
    client = NamespaceClient(custom_resources, namespace)
    with (
        PodStatusPatcher(custom_resources, namespace=namespace),
        FaultProxy(custom_resources, [Rule(Match(), ShiftDate(AHEAD.total_seconds()))], folder=tmp_path) as proxy,
        RunningOperator(
            None, tmp_path, kubeconfig=proxy.kubeconfig, pod_namespace=namespace, namespaces=namespace
        ) as operator,
    ):
        operator.wait_ready().wait_leading()
        client.submit()
        begun = until(lambda: client.status().get("startTime"), seconds=60, what="a job that has begun")
        ahead = datetime.fromisoformat(begun) - datetime.now(UTC)
        assert AHEAD - timedelta(minutes=5) < ahead < AHEAD + timedelta(minutes=5)


def test_clocks_that_are_set_to_and_fro_change_no_leader_and_end_no_job(custom_resources, namespace, tmp_path):
    """The clock of the first replica is an hour slow, then an hour fast, then slow again; that of the second is the other way round.

    When the first one is killed, the clock of the second is set once more. By it, the Lease would have ended long ago.
    """
    client, go = NamespaceClient(custom_resources, namespace), threading.Event()
    common = {"pod_namespace": namespace, "namespaces": namespace, "kubeconfig": unchecked(custom_resources, tmp_path)}
    (first, clock), (second, other_clock) = (replica(tmp_path / pod, pod=pod, **common) for pod in ("a", "b"))
    clock.set(hours=-1)
    other_clock.set(hours=1)
    scripts = {"train": before_the_end(succeed, Until(go))}
    with PodStatusPatcher(custom_resources, namespace=namespace, scripts=scripts), first:
        first.wait_ready().wait_leading()
        with second:
            second.wait_ready()
            submitted = datetime.now(UTC)
            client.submit(activeDeadlineSeconds=1800, failurePolicy={"startDeadline": "30m"})
            client.wait_for_phase("reviews", "Running")
            for hours in (1, -1):
                clock.set(hours=hours)
                other_clock.set(hours=-hours)
                wait_for_renewals(client, 4)
                assert (first.leads, second.leads) == (True, False)
            assert client.phase() == "Running"
            first.kill()
            killed, looks = time.monotonic(), looks_at_lease(custom_resources, namespace)
            until(
                lambda: looks_at_lease(custom_resources, namespace) >= looks + 2,
                seconds=30,
                what="two looks",
                pause=1.0,
            )
            other_clock.set(hours=3)
            second.wait_leading()
            assert time.monotonic() - killed > 10, "the Lease lasts 15 s"
            go.set()
            client.wait_for_phase("reviews", "Succeeded")
    status = client.status()
    assert (status["attempt"], status.get("restarts")) == (1, None)
    stamps = [datetime.fromisoformat(stamp) for stamp in stamps_in(status)]
    minute = timedelta(minutes=1)
    assert len(stamps) > 5
    assert [stamp for stamp in stamps if not submitted - minute < stamp < datetime.now(UTC) + minute] == []


def replica(folder: Path, *, pod: str, **settings: str | Path) -> tuple[RunningOperator, WrongClock]:
    """Return an operator that does not run yet, and its clock."""
    folder.mkdir()
    clock = WrongClock(folder)
    operator = RunningOperator(None, folder, pod=pod, fresh=True, **settings)
    operator.environment |= clock.environment
    return operator, clock


def unchecked(plane: ControlPlane, folder: Path) -> Path:
    """Return a kubeconfig that does not check the server's certificate: it is minutes old, and by the slow clock not good yet."""
    config = json.loads(plane.kubeconfig.read_text())
    for entry in config["clusters"]:
        del entry["cluster"]["certificate-authority-data"]
        entry["cluster"]["insecure-skip-tls-verify"] = True
    (folder / "kubeconfig").write_text(json.dumps(config))
    return folder / "kubeconfig"


def wait_for_renewals(client: NamespaceClient, count: int) -> None:
    """Return once the first replica has written its Lease so many times; fails if another one has it."""
    for _ in range(count):
        before = lease(client)
        until(lambda before=before: lease(client) != before, seconds=60, what="a renewal by the first replica")


def looks_at_lease(plane: ControlPlane, namespace: str) -> int:
    """Return how often a replica has read the Lease; once the first one is dead, it is the second."""
    what = f'"requestURI":"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/tuneloop-operator","verb":"get"'
    lines = plane.audit_log.read_text().splitlines()
    return sum(what in line and "ResponseComplete" in line for line in lines)


def lease(client: NamespaceClient) -> str:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{client.namespace}/leases/tuneloop-operator"
    spec = client.request("GET", path).body["spec"]
    assert spec["holderIdentity"] == "a"
    return spec["renewTime"]


def stamps_in(value: object) -> list[str]:
    """Return all times in a status."""
    if isinstance(value, dict):
        return [stamp for item in value.values() for stamp in stamps_in(item)]
    if isinstance(value, list):
        return [stamp for item in value for stamp in stamps_in(item)]
    return [value] if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value) else []
