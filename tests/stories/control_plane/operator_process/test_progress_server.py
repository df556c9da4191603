"""The operator's progress server: who may post, and how pods find it."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request

from operator_process import RunningOperator
from waiting import until


def post_progress(operator: RunningOperator, namespace: str, job: str, *, token: str) -> int:
    tls = ssl.create_default_context(cafile=str(operator.certificate / "ca.crt"))
    url = f"https://localhost:{operator.progress_port}/v1/namespaces/{namespace}/finetunejobs/{job}/progress"
    request = urllib.request.Request(url, data=b"{}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, context=tls, timeout=10) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def test_progress_is_taken_over_tls_from_nobody_without_a_good_token(operator, place):
    place.submit("posting")
    place.stored("Job", "posting-prepare")
    assert post_progress(operator, place.namespace, "posting", token="made-up") == 401


def test_the_pods_are_given_the_authority_of_the_progress_server(operator, place):
    place.submit("trusting")
    data = place.stored("ConfigMap", "trusting-prepare")["data"]
    assert (operator.certificate / "ca.crt").read_text() in data.values()


def test_the_leader_lets_the_progress_service_point_to_itself(operator, custom_resources):
    home = operator.environment["TUNELOOP_POD_NAMESPACE"]

    def slice_():
        path = f"/apis/discovery.k8s.io/v1/namespaces/{home}/endpointslices/tuneloop-progress"
        reply = custom_resources.request("GET", path)
        return reply.body if reply.status == 200 else None

    found = until(slice_, seconds=10, what="an EndpointSlice")
    (endpoint,) = found["endpoints"]
    assert endpoint["addresses"] == [operator.environment["TUNELOOP_POD_IP"]]
    assert {port["name"]: port["port"] for port in found["ports"]} == {
        "https": operator.progress_port,
        "routers": operator.router_port,
    }
