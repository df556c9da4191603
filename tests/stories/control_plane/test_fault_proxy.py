"""The fault proxy in front of the real API server: it hands on what it should, and each fault is the one that its rule names."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from cluster.control_plane import ControlPlane
from fault_proxy import (
    CutWatch,
    Delay,
    DropAfter,
    DropBefore,
    FaultProxy,
    Invoke,
    Kill,
    Match,
    Rule,
    SkipEvent,
    StallWatch,
    Status,
    WatchError,
    writes,
)
from fault_proxy.credentials import token_of
from kubeconfigs import client_of

LOST = (httpx.RemoteProtocolError, httpx.ReadError)
"""What a client sees of a connection that is closed instead of an answer."""
CREATES = Match(verb="create", resource="configmaps")
WATCHES = Match(verb="watch", resource="configmaps")


@pytest.fixture
def proxy(control_plane, tmp_path):
    with FaultProxy(control_plane, folder=tmp_path / "proxy") as running:
        yield running


@pytest.fixture
def client(proxy):
    with client_of(proxy.kubeconfig) as opened:
        yield opened


@pytest.fixture
def maps(control_plane, namespace):
    """The path of the namespace's ConfigMaps; Kubernetes' own one is there, so that no watch is surprised by it."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    eventually(lambda: control_plane.request("GET", f"{path}/kube-root-ca.crt").status == 200)
    return path


@pytest.fixture
def stored(control_plane, maps):
    """Return a function: the names of the ConfigMaps that the API server has."""

    def names():
        items = control_plane.request("GET", maps).body["items"]
        return {item["metadata"]["name"] for item in items} - {"kube-root-ca.crt"}

    return names


@pytest.fixture
def put(control_plane, maps):
    """Return a function that makes a ConfigMap past the proxy."""

    def create(name):
        assert control_plane.request("POST", maps, config_map(name)).status == 201

    return create


def config_map(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


class Watching:
    """A client's watch on ConfigMaps, read by a thread."""

    def __init__(self, reply):
        self.events = []
        self.rest = ""
        """What came behind the last whole line."""
        self.end = None
        """The exception that ended it, or "clean"."""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(reply,), daemon=True)
        self._thread.start()

    def _read(self, reply):
        end = "clean"
        try:
            for text in reply.iter_text():
                *lines, self.rest = (self.rest + text).split("\n")
                with self._changed:
                    self.events += map(json.loads, lines)
                    self._changed.notify_all()
        except httpx.HTTPError as error:
            end = error
        with self._changed:
            self.end = end
            self._changed.notify_all()

    def wait(self, *names):
        """Wait until the events are those of these objects, in this order."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.names == names or self.end, 10), (names, self.names)
            assert self.names == names

    def wait_for_end(self):
        with self._changed:
            assert self._changed.wait_for(lambda: self.end, 10)
            return self.end

    @property
    def names(self):
        return tuple(event["object"]["metadata"].get("name", event["object"].get("reason")) for event in self.events)


@pytest.fixture
def watching(client, maps, control_plane):
    """Return a context manager: a watch that begins now."""

    @contextmanager
    def begin():
        version = control_plane.request("GET", maps).body["metadata"]["resourceVersion"]
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "60"}
        with client.stream("GET", maps, params=query) as reply:
            assert reply.status_code == 200
            yield Watching(reply)

    return begin


def test_calls_are_passed_on_and_written_down(proxy, client, namespace, maps):
    made = client.post(maps, json=config_map("a"))
    named = made.json()["metadata"]
    assert client.get(f"{maps}/a").json()["metadata"]["uid"] == named["uid"]
    assert client.get(f"{maps}/b").status_code == 404
    assert client.put(f"{maps}/a", json=made.json() | {"data": {"k": "v"}}).status_code == 200
    assert client.delete(f"{maps}/a").status_code == 200
    assert [(one.verb, one.namespace, one.name, one.code) for one in proxy.trace] == [
        ("create", namespace, "a", 201),
        ("get", namespace, "a", 200),
        ("get", namespace, "b", 404),
        ("update", namespace, "a", 200),
        ("delete", namespace, "a", 200),
    ]
    create, update = proxy.trace[0], proxy.trace[3]
    assert (create.version_in, create.version_out) == ("", named["resourceVersion"])
    assert update.version_in == named["resourceVersion"] != update.version_out
    assert all(one.seconds > 0 and one.is_applied == (one.code < 300) for one in proxy.trace)
    assert [one["n"] for one in map(json.loads, proxy.trace_file.read_text().splitlines())] == [1, 2, 3, 4, 5]


def test_a_long_body_passes_both_ways(client, maps):
    long = config_map("long") | {"data": {"text": "ä" * 400_000}}
    assert client.post(maps, json=long).status_code == 201
    assert client.get(f"{maps}/long").json()["data"] == long["data"]


def test_the_clients_own_rights_hold(control_plane, proxy, namespace, maps, tmp_path):
    proxy.kubeconfig_for(token_of(control_plane.client(), namespace=namespace, name="default"), path=tmp_path / "other")
    with client_of(tmp_path / "other") as other:
        refused = other.get(maps)
    assert refused.status_code == 403
    assert f"system:serviceaccount:{namespace}:default" in refused.json()["message"]


def test_kubectl_works_through_it(control_plane, proxy, namespace):
    done = subprocess.run(
        [control_plane.bin / "kubectl", "--kubeconfig", proxy.kubeconfig, "-n", namespace, "get", "configmaps", "-o", "name"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "configmap/kube-root-ca.crt\n"), done.stderr


def test_a_watch_delivers_events_as_they_come(proxy, put, watching, namespace):
    with watching() as watch:
        put("a")
        watch.wait("a")
        put("b")
        watch.wait("a", "b")
        assert watch.end is None
    assert [(one.type, one.name, one.namespace) for one in proxy.events] == [
        ("ADDED", "a", namespace),
        ("ADDED", "b", namespace),
    ]


def test_a_watch_ends_as_the_api_server_ends_it(client, maps):
    with client.stream("GET", maps, params={"watch": "true", "timeoutSeconds": "1"}) as reply:
        assert Watching(reply).wait_for_end() == "clean"


def test_a_watch_that_its_client_leaves_is_closed(proxy, client, maps):
    with client.stream("GET", maps, params={"watch": "true"}):
        assert proxy.open_watches == ("configmaps",)
    eventually(lambda: proxy.open_watches == ())


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


def test_delay_holds_the_call_back(proxy, client, maps, stored):
    proxy.add(Rule(CREATES, Delay(0.6)))
    asking = threading.Thread(target=client.post, args=(maps,), kwargs={"json": config_map("a")})
    started = time.monotonic()
    asking.start()
    assert stored() == set()
    asking.join()
    assert time.monotonic() - started >= 0.6
    assert stored() == {"a"}


def test_delay_after_holds_the_answer_back(proxy, client, maps, stored):
    rule = proxy.add(Rule(CREATES, Delay(1.5, after=True)))
    asking = threading.Thread(target=client.post, args=(maps,), kwargs={"json": config_map("a")})
    asking.start()
    rule.wait()
    eventually(lambda: stored() == {"a"})
    assert asking.is_alive()
    asking.join()


def test_a_call_that_is_held_back_outlives_its_client(proxy, client, maps, stored):
    proxy.add(Rule(CREATES, Delay(0.5)))
    with pytest.raises(httpx.ReadTimeout):
        client.post(maps, json=config_map("a"), timeout=0.2)
    assert stored() == set()
    eventually(lambda: stored() == {"a"})


def test_status_is_answered_without_the_api_server(proxy, client, maps, stored):
    proxy.add(Rule(CREATES, Status(429, retry_after=7)))
    reply = client.post(maps, json=config_map("a"))
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


def test_drop_before_loses_the_call(proxy, client, maps, stored):
    proxy.add(Rule(CREATES, DropBefore()))
    with pytest.raises(LOST):
        client.post(maps, json=config_map("a"))
    assert stored() == set()
    (call,) = proxy.trace
    assert (call.code, call.sent, call.faults) == (0, False, ("drop_before",))


def test_drop_after_loses_the_answer(proxy, client, maps, stored):
    proxy.add(Rule(CREATES, DropAfter()))
    with pytest.raises(LOST):
        client.post(maps, json=config_map("a"))
    assert stored() == {"a"}
    (call,) = proxy.trace
    assert (call.code, call.is_applied, call.faults) == (201, True, ("drop_after",))


def test_only_the_nth_call_is_met(proxy, client, maps):
    rule = proxy.add(Rule(Match(verb="write", nth=2), Status(500)))
    assert [client.post(maps, json=config_map(name)).status_code for name in "abc"] == [201, 500, 201]
    assert (rule.matched, rule.fired) == (3, 1)


def test_rules_that_are_given_at_the_start_hold_from_the_first_call(control_plane, tmp_path, maps):
    rules = [Rule.from_json({"match": {"verb": "list"}, "act": {"kind": "status", "code": 503}})]
    with FaultProxy(control_plane, rules, folder=tmp_path / "p") as proxy, client_of(proxy.kubeconfig) as client:
        assert client.get(maps).status_code == 503


def test_a_rule_that_is_removed_acts_no_more(proxy, client, maps):
    rule = proxy.add(Rule(CREATES, Status(500)))
    assert client.post(maps, json=config_map("a")).status_code == 500
    rule.remove()
    assert client.post(maps, json=config_map("a")).status_code == 201


def test_waiting_for_a_rule_that_never_acts_fails(proxy):
    with pytest.raises(AssertionError, match="acted 0 times"):
        proxy.add(Rule(CREATES, DropAfter())).wait(timeout_seconds=0.05)


def test_cut_watch_breaks_an_open_watch(proxy, put, watching):
    with watching() as watch:
        put("a")
        watch.wait("a")
        proxy.add(Rule(WATCHES, CutWatch()))
        assert isinstance(watch.wait_for_end(), httpx.RemoteProtocolError | httpx.ReadError)


def test_cut_watch_meets_the_watch_that_is_counted(proxy, put, watching):
    proxy.add(Rule(Match(verb="watch", nth=2), CutWatch()))
    with watching() as first, watching() as second:
        assert second.wait_for_end() != "clean"
        put("a")
        first.wait("a")


def test_cut_watch_at_an_event_loses_the_event(proxy, put, watching):
    proxy.add(Rule(Match(event="ADDED", name="b"), CutWatch()))
    with watching() as watch:
        put("a")
        watch.wait("a")
        put("b")
        assert watch.wait_for_end() != "clean"
    assert watch.names == ("a",)


def test_a_watch_can_break_in_the_middle_of_a_line(proxy, put, watching):
    proxy.add(Rule(Match(event="ADDED", name="a"), CutWatch(half=True)))
    with watching() as watch:
        put("a")
        assert watch.wait_for_end() != "clean"
    assert watch.rest.startswith('{"type":"ADDED"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(watch.rest)


def test_a_stalled_watch_is_silent_and_open_until_the_rule_is_removed(proxy, put, watching):
    with watching() as watch:
        put("a")
        watch.wait("a")
        stall = proxy.add(Rule(WATCHES, StallWatch()))
        put("b")
        put("c")
        eventually(lambda: len(proxy.events) == 3)
        assert (watch.names, watch.end) == (("a",), None)
        stall.remove()
        watch.wait("a", "b", "c")
        put("d")
        watch.wait("a", "b", "c", "d")


def test_a_stalled_watch_stays_open_when_the_api_server_ends_it(proxy, client, maps):
    stall = proxy.add(Rule(WATCHES, StallWatch()))
    with client.stream("GET", maps, params={"watch": "true", "timeoutSeconds": "1", "resourceVersion": "0"}) as reply:
        watch = Watching(reply)
        time.sleep(1.6)  # longer than the watch would last
        assert (watch.names, watch.end) == ((), None)
        stall.remove()
        assert watch.wait_for_end() == "clean"


def test_a_stalled_watch_still_gets_an_error(proxy, put, watching):
    proxy.add(Rule(WATCHES, StallWatch()))
    with watching() as watch:
        put("a")
        eventually(lambda: len(proxy.events) == 1)
        proxy.add(Rule(WATCHES, WatchError(410)))
        assert watch.wait_for_end() == "clean"
    assert watch.names == ("Expired",)


@pytest.mark.parametrize(("code", "reason"), [(410, "Expired"), (500, "InternalError")])
def test_a_watch_error_is_an_event_that_ends_the_watch(proxy, watching, code, reason):
    proxy.add(Rule(WATCHES, WatchError(code)))
    with watching() as watch:
        assert watch.wait_for_end() == "clean"
    (event,) = watch.events
    assert event["type"] == "ERROR"
    assert (event["object"]["kind"], event["object"]["code"], event["object"]["reason"]) == ("Status", code, reason)


def test_the_nth_matching_event_is_skipped(proxy, put, watching):
    rule = proxy.add(Rule(Match(event="ADDED", name="skip.*", nth=2), SkipEvent()))
    with watching() as watch:
        for name in ("skip-1", "a", "skip-2", "skip-3"):
            put(name)
        watch.wait("skip-1", "a", "skip-3")
    assert (rule.matched, rule.fired) == (3, 1)


def test_an_event_that_is_held_back_keeps_its_place(proxy, put, watching):
    proxy.add(Rule(Match(event="ADDED", name="a"), Delay(0.7)))
    with watching() as watch:
        put("a")
        put("b")
        eventually(lambda: len(proxy.events) == 1)
        assert watch.names == ()
        watch.wait("a", "b")


WRITER = """
import sys; from pathlib import Path; from kubeconfigs import client_of
client = client_of(Path(sys.argv[1])); print("ready", flush=True); sys.stdin.readline()
for name in "abc":
    client.post(sys.argv[2], json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}); print(name, flush=True)
"""


@contextmanager
def writer(proxy, maps):
    """A process that makes the ConfigMaps a, b and c when a line is written to it, and says each that was answered."""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, proxy.kubeconfig, maps],
        env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("is_named", [True, False], ids=["by its pid", "as the caller"])
def test_kill_ends_a_process_between_a_write_and_its_answer(proxy, maps, stored, is_named):
    with writer(proxy, maps) as process:
        proxy.add(Rule(Match(verb="write", nth=2), Kill(pid=process.pid if is_named else None)))
        said, _ = process.communicate("go\n", timeout=20)
    assert (process.returncode, said) == (-signal.SIGKILL, "a\n")
    assert stored() == {"a", "b"}
    assert [(one.name, one.code) for one in writes(proxy.trace)] == [("a", 201), ("b", 201)]


def test_a_process_can_be_stopped_at_a_write_and_go_on(proxy, maps, stored):
    with writer(proxy, maps) as process:
        stopped = proxy.add(Rule(Match(verb="write", nth=1), Kill(signal=signal.SIGSTOP)))
        process.stdin.write("go\n")
        process.stdin.flush()
        stopped.wait()
        eventually(lambda: stored() == {"a"})
        time.sleep(0.3)  # time enough for the next write, if it were running
        assert stored() == {"a"}
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == "a\nb\nc\n"


def test_kill_spares_the_process_of_the_test(proxy, client, maps, stored):
    proxy.add(Rule(CREATES, Kill()))
    with pytest.raises(LOST):
        client.post(maps, json=config_map("a"))
    assert stored() == {"a"}


@pytest.mark.parametrize(("after", "names"), [(False, set()), (True, {"a"})], ids=["before", "after"])
def test_call_runs_a_function_of_the_test(proxy, client, maps, stored, after, names):
    seen = []
    proxy.add(Rule(CREATES, Invoke(lambda call: seen.append((call.target.name, stored())), after=after)))
    assert client.post(maps, json=config_map("a")).status_code == 201
    assert seen == [("a", names)]


def test_what_the_function_returns_is_the_answer(proxy, client, maps, stored):
    proxy.add(Rule(CREATES, Invoke(lambda _: Status(504))))
    assert client.post(maps, json=config_map("a")).status_code == 504
    assert stored() == set()


def eventually(holds):
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
