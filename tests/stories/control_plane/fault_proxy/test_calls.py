"""Calls through the fault proxy: it hands on what it should and writes it down, and each fault is the one that its rule names."""

from __future__ import annotations

import json
import subprocess
import threading
import time

import httpx
import pytest
from cluster.control_plane import ControlPlane
from fault_proxy import Delay, DropAfter, DropBefore, FaultProxy, Invoke, Kill, Match, Rule, Status
from fault_proxy.credentials import token_of
from kubeconfigs import client_of
from waiting import until

LOST = (httpx.RemoteProtocolError, httpx.ReadError)
"""What a client sees of a connection that is closed instead of an answer."""
CREATES = Match(verb="create", resource="configmaps")


# ---- without a fault ------------------------------------------------------------------------------------------------------------------


def test_calls_are_passed_on_and_written_down(proxy, client, create, namespace, maps):
    made = create("a")
    named = made.json()["metadata"]
    assert client.get(f"{maps}/a").json()["metadata"]["uid"] == named["uid"]
    assert client.get(f"{maps}/b").status_code == 404
    assert client.put(f"{maps}/a", json=made.json() | {"data": {"k": "v"}}).status_code == 200
    assert client.delete(f"{maps}/a").status_code == 200
    assert [(call.verb, call.namespace, call.name, call.code) for call in proxy.trace] == [
        ("create", namespace, "a", 201),
        ("get", namespace, "a", 200),
        ("get", namespace, "b", 404),
        ("update", namespace, "a", 200),
        ("delete", namespace, "a", 200),
    ]
    first, update = proxy.trace[0], proxy.trace[3]
    assert (first.version_in, first.version_out) == ("", named["resourceVersion"])
    assert update.version_in == named["resourceVersion"] != update.version_out
    assert all(call.seconds > 0 and call.is_applied == (call.code < 300) for call in proxy.trace)
    assert [line["n"] for line in map(json.loads, proxy.trace_file.read_text().splitlines())] == [1, 2, 3, 4, 5]


def test_a_long_body_passes_both_ways(client, create, maps):
    data = {"text": "ä" * 400_000}
    assert create("long", data=data).status_code == 201
    assert client.get(f"{maps}/long").json()["data"] == data


def test_the_clients_own_rights_hold(control_plane, proxy, namespace, maps, tmp_path):
    proxy.kubeconfig_for(token_of(control_plane.client(), namespace=namespace, name="default"), path=tmp_path / "other")
    with client_of(tmp_path / "other") as other:
        refused = other.get(maps)
    assert refused.status_code == 403
    assert f"system:serviceaccount:{namespace}:default" in refused.json()["message"]


def test_kubectl_works_through_it(control_plane, proxy, namespace, maps):
    done = subprocess.run(
        [control_plane.bin / "kubectl", "--kubeconfig", proxy.kubeconfig, "-n", namespace, "get", "configmaps", "-o", "name"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "configmap/kube-root-ca.crt\n"), done.stderr


def test_without_the_api_server_the_connection_is_closed(control_plane, tmp_path):
    dead = ControlPlane(tmp_path / "dead")
    dead.state.mkdir()
    (dead.state / "pki").symlink_to(control_plane.state / "pki")
    (dead.state / "cluster.json").write_text(json.dumps({"url": "https://127.0.0.1:1"}))
    with FaultProxy(dead, folder=tmp_path / "proxy", token="none") as proxy, client_of(proxy.kubeconfig) as client:
        with pytest.raises(LOST):
            client.get("/readyz")
        (call,) = proxy.trace
    assert (call.code, call.sent) == (0, False)


# ---- late -----------------------------------------------------------------------------------------------------------------------------


def test_delay_holds_the_call_back(proxy, create, stored):
    proxy.add(Rule(CREATES, Delay(0.6)))
    asking = threading.Thread(target=create, args=("a",))
    started = time.monotonic()
    asking.start()
    assert stored() == set()
    asking.join()
    assert time.monotonic() - started >= 0.6
    assert stored() == {"a"}


def test_delay_after_holds_the_answer_back(proxy, create, stored):
    rule = proxy.add(Rule(CREATES, Delay(1.5, after=True)))
    asking = threading.Thread(target=create, args=("a",))
    asking.start()
    rule.wait()
    until(lambda: stored() == {"a"}, seconds=10, what="the ConfigMap")
    assert asking.is_alive()
    asking.join()


def test_a_call_that_is_held_back_outlives_its_client(proxy, create, stored):
    proxy.add(Rule(CREATES, Delay(0.5)))
    with pytest.raises(httpx.ReadTimeout):
        create("a", timeout=0.2)
    assert stored() == set()
    until(lambda: stored() == {"a"}, seconds=10, what="the ConfigMap")


# ---- answered by the proxy ------------------------------------------------------------------------------------------------------------


def test_status_is_answered_without_the_api_server(proxy, create, stored):
    proxy.add(Rule(CREATES, Status(429, retry_after=7)))
    reply = create("a")
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "7")
    body = reply.json()
    assert (body["kind"], body["reason"], body["details"]) == ("Status", "TooManyRequests", {"retryAfterSeconds": 7})
    assert stored() == set()
    (call,) = proxy.trace
    assert (call.code, call.sent, call.is_applied, call.faults) == (429, False, False, ("status",))


def test_an_old_list_can_be_served(control_plane, proxy, client, maps, put):
    old = control_plane.request("GET", maps).body
    put("a")
    proxy.add(Rule(Match(verb="list", resource="configmaps"), Status(200, body=old)))
    assert client.get(maps).json() == old


@pytest.mark.parametrize(("after", "names"), [(False, set()), (True, {"a"})], ids=["before", "after"])
def test_call_runs_a_function_of_the_test(proxy, create, stored, after, names):
    stored_then = []
    proxy.add(Rule(CREATES, Invoke(lambda call: stored_then.append((call.target.name, stored())), after=after)))
    assert create("a").status_code == 201
    assert stored_then == [("a", names)]


def test_what_the_function_returns_is_the_answer(proxy, create, stored):
    proxy.add(Rule(CREATES, Invoke(lambda _: Status(504))))
    assert create("a").status_code == 504
    assert stored() == set()


# ---- lost -----------------------------------------------------------------------------------------------------------------------------


def test_drop_before_loses_the_call(proxy, create, stored):
    proxy.add(Rule(CREATES, DropBefore()))
    with pytest.raises(LOST):
        create("a")
    assert stored() == set()
    (call,) = proxy.trace
    assert (call.code, call.sent, call.faults) == (0, False, ("drop_before",))


def test_drop_after_loses_the_answer(proxy, create, stored):
    proxy.add(Rule(CREATES, DropAfter()))
    with pytest.raises(LOST):
        create("a")
    assert stored() == {"a"}
    (call,) = proxy.trace
    assert (call.code, call.is_applied, call.faults) == (201, True, ("drop_after",))


def test_kill_spares_the_process_of_the_test(proxy, create, stored):
    proxy.add(Rule(CREATES, Kill()))
    with pytest.raises(LOST):
        create("a")
    assert stored() == {"a"}


# ---- rules ----------------------------------------------------------------------------------------------------------------------------


def test_only_the_nth_call_is_met(proxy, create):
    rule = proxy.add(Rule(Match(verb="write", nth=2), Status(500)))
    assert [create(name).status_code for name in "abc"] == [201, 500, 201]
    assert (rule.matched, rule.fired) == (3, 1)


def test_rules_that_are_given_at_the_start_hold_from_the_first_call(control_plane, tmp_path, maps):
    rules = [Rule.from_json({"match": {"verb": "list"}, "act": {"kind": "status", "code": 503}})]
    with FaultProxy(control_plane, rules, folder=tmp_path / "p") as proxy, client_of(proxy.kubeconfig) as client:
        assert client.get(maps).status_code == 503


def test_a_rule_that_is_removed_acts_no_more(proxy, create):
    rule = proxy.add(Rule(CREATES, Status(500)))
    assert create("a").status_code == 500
    rule.remove()
    assert create("a").status_code == 201


def test_waiting_for_a_rule_that_never_acts_fails(proxy):
    with pytest.raises(AssertionError, match="acted 0 times"):
        proxy.add(Rule(CREATES, DropAfter())).wait(timeout_seconds=0.05)
