"""The operator as a process: how it starts, how it ends, and what it says where it cannot work."""

from __future__ import annotations

import pytest
from cluster.control_plane import ControlPlane
from operator_process import RunningOperator
from waiting import until


def holder(plane: ControlPlane, home: str) -> str | None:
    lease = plane.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{home}/leases/tuneloop-operator")
    return lease.body["spec"].get("holderIdentity")


def test_sigterm_ends_it_well_and_long_before_its_lease(replica, custom_resources):
    operator = replica(fresh=True).wait_ready().wait_leading()
    assert operator.terminate() == 0, operator.log
    assert not holder(custom_resources, operator.environment["TUNELOOP_POD_NAMESPACE"])


def test_without_our_crds_it_ends_and_says_what_to_install(tmp_path):
    with ControlPlane(tmp_path / "plane") as plane:
        operator = RunningOperator(plane, tmp_path, fresh=True)
        operator.start()
        assert operator.wait() == 1
    (line,) = [record for record in operator.log_lines if record["level"] == "ERROR"]
    assert "FineTuneJob and ModelDeployment" in line["message"]
    assert "kubectl apply" in line["message"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        pytest.param({"workers": "many"}, "TUNELOOP_WORKERS='many': allowed is", id="a value that is not allowed"),
        pytest.param(
            {"worker": "8"},
            "TUNELOOP_WORKER is not a setting; the nearest one is TUNELOOP_WORKERS",
            id="a typing mistake",
        ),
        pytest.param({"pod_name": ""}, "TUNELOOP_POD_NAME is not set", id="one that is missing"),
        pytest.param({"tls_directory": "/nowhere"}, "/nowhere/tls.crt: No such file", id="no certificate"),
        pytest.param({"uid": "0"}, "TUNELOOP_UID='0'", id="a setting of decisions"),
    ],
)
def test_wrong_settings_end_it_with_one_line(tmp_path, settings, sentence):
    operator = RunningOperator(None, tmp_path, kubeconfig=tmp_path / "absent", fresh=True, **settings)
    operator.start()
    assert operator.wait() == 2
    (line,) = operator.log.splitlines()
    assert sentence in line


def test_it_waits_for_an_api_server_that_is_away(tmp_path, custom_resources):
    away = tmp_path / "kubeconfig"
    away.write_text(custom_resources.kubeconfig.read_text().replace(custom_resources.server_url, "https://127.0.0.1:1"))
    with RunningOperator(custom_resources, tmp_path, kubeconfig=away, fresh=True) as operator:
        until(lambda: "waiting for the API server" in operator.log, seconds=20, what="a line that says so")
        assert operator.get("/healthz")[0] == 200
        assert operator.get("/readyz")[0] == 503
        assert operator.terminate() == 0
