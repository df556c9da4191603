"""An operator that is started again reads lists that are older than what it has done, and its watches are silent: no harm comes of it.

Each namespace has a past of its own. In the end each must hold what a namespace does in which no list was old.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from cluster_tier import fresh_namespace
from end_state import reference
from fault_proxy import FaultProxy
from namespace_client import NamespaceClient
from old_lists import ALL, Old, OldLists, listed
from pod_scripts import Until, before_the_end, by_attempt, by_index, fail, hang, succeed
from pod_status_patcher import PodStatusPatcher
from waiting import until

from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.controller.controllers import CHILD_KINDS, KINDS

NAME = "restarted"
SETTINGS = {"progress_url": "https://tuneloop-progress.test:8443"}
WHILE_IT_TRAINS = {
    "nothing had been done": Old("submitted", ALL),
    "it was being prepared": Old("preparing", ALL),
    "the attempt before ran": Old("attempt 1", ALL),
    "the children alone are of the attempt before": Old("attempt 1", CHILD_KINDS),
    "the children alone are not there yet": Old("submitted", CHILD_KINDS),
    "the job alone is of the attempt before": Old("attempt 1", KINDS),
}
"""What the lists show while the second attempt runs."""
SINCE_IT_TRAINED = ("it has ended", "it was deleted", "it was made again")
"""What has happened since the second attempt ran, which the lists show."""
CLEAN = "no list is old"


@dataclass(frozen=True)
class Gates:
    """What the pods wait for."""

    prepared: threading.Event = field(default_factory=threading.Event)
    failed: threading.Event = field(default_factory=threading.Event)
    trained: threading.Event = field(default_factory=threading.Event)

    def scripts(self) -> dict[str, Any]:
        """Return scripts of a job whose first attempt fails. Its other pod is stopped, so that what is left is the same each time."""
        first = by_index({0: before_the_end(fail(FailureClass.STORAGE), Until(self.failed))}, otherwise=hang)
        second = before_the_end(succeed, Until(self.trained))
        return {"prepare": before_the_end(succeed, Until(self.prepared)), "train": by_attempt(first, second)}


@pytest.fixture(scope="module")
def gates():
    return Gates()


@pytest.fixture(scope="module")
def lists(custom_resources, gates, tmp_path_factory):
    """A job in each namespace that is in its second attempt, and the lists of every moment before."""
    folder = tmp_path_factory.mktemp("old-lists")
    with ExitStack() as stack:
        clients = {
            what: NamespaceClient(custom_resources, stack.enter_context(fresh_namespace(custom_resources)))
            for what in (*WHILE_IT_TRAINS, *SINCE_IT_TRAINED, CLEAN)
        }
        stack.enter_context(PodStatusPatcher(custom_resources, scripts=gates.scripts()))
        proxy = stack.enter_context(FaultProxy(custom_resources, folder=folder))
        found = OldLists(clients, proxy, folder, **SETTINGS)
        stack.callback(found.operator.kill)
        for client in clients.values():
            client.submit(NAME)
        found.record("submitted")
        found.operator.start()
        wait_for(clients, "Preparing", pods=1)
        found.record("preparing")
        gates.prepared.set()
        wait_for(clients, "Running", attempt=1, pods=2)
        found.record("attempt 1")
        gates.failed.set()
        wait_for(clients, "Running", attempt=2, pods=2)
        found.record("attempt 2")
        yield found


def wait_for(clients: dict[str, NamespaceClient], phase: str, *, attempt: int | None = None, pods: int) -> None:
    def is_there(client: NamespaceClient) -> bool:
        status = client.status(NAME)
        running = [pod for pod in client.all("Pod") if pod["status"]["phase"] == "Running"]
        return (status.get("phase"), status.get("attempt")) == (phase, attempt) and len(running) == pods

    for client in clients.values():
        until(lambda client=client: is_there(client), seconds=90, what=f"{phase}, attempt {attempt}")


def wait_for_the_end(lists: OldLists, *names: str) -> None:
    for name in names:
        lists.clients[name].wait_for_phase(NAME, "Succeeded")
        until(lists.clients[name].is_idle, seconds=60, what=f"{name}: the end of its Jobs")


def children_of(client: NamespaceClient) -> set[str]:
    return {child["metadata"]["uid"] for kind in CHILD_KINDS for child in listed(client, kind)["items"]}


def history_of(client: NamespaceClient) -> Any:
    """Return what must not go back in a status."""
    return [client.status(NAME).get(name) for name in ("phase", "attempt", "restarts", "children", "history")]


def differences(lists: OldLists, *names: str) -> dict[str, list[str]]:
    """Return how namespaces differ from the clean one."""
    clean = reference([lists.clients[CLEAN].end_state()])
    return {name: found for name in names if (found := clean.differences(lists.clients[name].end_state()))}


def test_a_job_that_trains_loses_nothing(lists, gates):
    before = {name: (history_of(lists.clients[name]), children_of(lists.clients[name])) for name in WHILE_IT_TRAINS}
    lists.operator.kill()
    rules = lists.start_with(WHILE_IT_TRAINS)
    after = {name: (history_of(lists.clients[name]), children_of(lists.clients[name])) for name in WHILE_IT_TRAINS}
    assert after == before
    for rule in rules:
        rule.remove()
    gates.trained.set()
    wait_for_the_end(lists, *lists.clients)
    assert differences(lists, *WHILE_IT_TRAINS) == {}


def test_a_job_that_has_ended_or_is_gone_does_not_go_on(lists, gates):
    gates.trained.set()
    wait_for_the_end(lists, *SINCE_IT_TRAINED, CLEAN)
    lists.operator.kill()
    ended, deleted, replaced = (lists.clients[name] for name in SINCE_IT_TRAINED)
    for client in (deleted, replaced):
        client.delete("FineTuneJob", NAME)
        until(lambda client=client: not children_of(client), seconds=60, what="the end of the children")
    made = replaced.submit(NAME)
    before = history_of(ended), children_of(ended)
    rules = lists.start_with({name: Old("attempt 2", ALL) for name in SINCE_IT_TRAINED})
    assert (history_of(ended), children_of(ended)) == before
    assert children_of(deleted) == set()
    for rule in rules:
        rule.remove()
    replaced.stored("Job", f"{NAME}-prepare")
    assert differences(lists, "it has ended") == {}
    assert deleted.end_state().objects == {}
    owners = {owner["uid"] for job in replaced.all("Job") for owner in job["metadata"]["ownerReferences"]}
    assert owners == {made["metadata"]["uid"]}
