"""What the tests of the fault proxy share: a proxy in front of the real API server, its client, and ConfigMaps to ask for."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager

import httpx
import pytest
from fault_proxy import FaultProxy
from kubeconfigs import client_of
from waiting import until


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
    own = f"{path}/kube-root-ca.crt"
    until(lambda: control_plane.request("GET", own).status == 200, seconds=10, what="Kubernetes' own ConfigMap")
    return path


@pytest.fixture
def create(client, maps):
    """Return a function that makes a ConfigMap through the proxy and returns the reply."""

    def ask(name, *, data=None, timeout=30):
        return client.post(maps, json=config_map(name) | {"data": data or {}}, timeout=timeout)

    return ask


@pytest.fixture
def put(control_plane, maps):
    """Return a function that makes a ConfigMap past the proxy."""

    def ask(name):
        assert control_plane.request("POST", maps, config_map(name)).status == 201

    return ask


def config_map(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


@pytest.fixture
def stored(control_plane, maps):
    """Return a function: the names of the ConfigMaps that the API server has."""

    def names():
        items = control_plane.request("GET", maps).body["items"]
        return {item["metadata"]["name"] for item in items} - {"kube-root-ca.crt"}

    return names


@pytest.fixture
def watching(client, maps, control_plane):
    """Return a context manager: a watch that begins now, and that the API server ends after so many seconds."""

    @contextmanager
    def begin(*, seconds=60):
        version = control_plane.request("GET", maps).body["metadata"]["resourceVersion"]
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        with client.stream("GET", maps, params=query) as reply:
            assert reply.status_code == 200
            yield Watching(reply)

    return begin


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
