"""The operator's clock and the API server's differ by hours: what the operator writes and decides is by the API server's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fault_proxy import FaultProxy, Match, Rule, ShiftDate
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from pod_status_patcher import PodStatusPatcher
from waiting import until

AHEAD = timedelta(hours=2)


def test_the_operator_writes_the_time_of_the_api_server(custom_resources, namespace, tmp_path):
    """No clock of a machine can be set in a test. So the `Date` of each answer is later."""
    client = NamespaceClient(custom_resources, namespace)
    with (
        PodStatusPatcher(custom_resources, namespace=namespace),
        FaultProxy(custom_resources, [Rule(Match(), ShiftDate(AHEAD.total_seconds()))], folder=tmp_path) as proxy,
        RunningOperator(
            None, tmp_path, kubeconfig=proxy.kubeconfig, pod_namespace=namespace, namespaces=namespace
        ) as operator,
    ):
        operator.wait_ready(seconds=60).wait_leading(seconds=60)
        client.submit()
        begun = until(lambda: client.status().get("startTime"), seconds=60, what="a job that has begun")
        ahead = datetime.fromisoformat(begun) - datetime.now(UTC)
        assert AHEAD - timedelta(minutes=5) < ahead < AHEAD + timedelta(minutes=5)
