"""What routers get, and when they are to look again: the split of the stored deployment, and each change of it."""

from __future__ import annotations

from typing import Any

import pytest
from routed_manifests import pod_of_deployment, routed_deployment

from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.splits import Splits
from tuneloop_operator.controller.store import Store
from tuneloop_operator.settings.operator import OperatorSettings


@pytest.fixture
def store() -> Store:
    return new_store()


@pytest.fixture
def splits(store: Store) -> Splits:
    return Splits(store, settings=OperatorSettings)


@pytest.fixture
def changed(splits: Splits) -> list[tuple[str, str]]:
    """The deployments whose routers are to look again."""
    found: list[tuple[str, str]] = []
    splits.listen(lambda *key: found.append(key))
    return found


def generation(splits: Splits) -> int | None:
    split = splits.of("team-a", "reviews")
    return split.generation if split else None


def test_the_split_is_that_of_the_stored_status(store: Store, splits: Splits) -> None:
    store.put(routed_deployment(7, r2=5, r1=95))
    split = splits.of("team-a", "reviews")
    assert split is not None
    shares = [(revision.name, revision.host, revision.weight) for revision in split.revisions]
    assert shares == [
        ("reviews-r2", "reviews-r2-pods.team-a.svc", 5),
        ("reviews-r1", "reviews-r1-pods.team-a.svc", 95),
    ]
    assert split.generation == 7


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param([], id="no deployment"),
        pytest.param([routed_deployment(7, strategy="Recreate")], id="one without routers"),
        pytest.param([routed_deployment(7) | {"status": {}}], id="one before its first status"),
        pytest.param([routed_deployment(7) | {"spec": {"surprise": 1}}], id="one that cannot be read"),
    ],
)
def test_without_routers_there_is_no_split(store: Store, splits: Splits, stored: list[dict[str, Any]]) -> None:
    for manifest in stored:
        store.put(manifest)
    assert splits.of("team-a", "reviews") is None


def test_it_changes_with_the_stored_object_and_never_goes_back(store: Store, splits: Splits) -> None:
    for version, wanted in ((7, 7), (8, 8), (7, 8)):
        store.put(routed_deployment(version))
        assert generation(splits) == wanted
    store.remove(routed_deployment(8))
    assert generation(splits) is None


def test_it_is_found_once_for_each_change_however_many_ask(store: Store, splits: Splits) -> None:
    store.put(routed_deployment(7))
    first = splits.of("team-a", "reviews")
    assert all(splits.of("team-a", "reviews") is first for _ in range(3))


def test_nothing_is_kept_of_deployments_that_are_gone_or_never_were(store: Store, splits: Splits) -> None:
    store.put(routed_deployment(7))
    for name in ("reviews", "mails"):
        splits.of("team-a", name)
    store.remove(routed_deployment(7))
    assert not splits._found


@pytest.mark.parametrize(
    ("manifest", "look_again"),
    [
        pytest.param(routed_deployment(8), True, id="the deployment"),
        pytest.param(pod_of_deployment("server", revision="r1"), True, id="a pod of it, whose port may be another"),
        pytest.param(routed_deployment(7), False, id="a version that is known"),
        pytest.param(pod_of_deployment("service") | {"kind": "Service"}, False, id="another child"),
        pytest.param(pod_of_deployment("stage", deployment="mails"), False, id="a pod of another deployment"),
    ],
)
def test_routers_look_again_when_their_split_may_be_another(
    store: Store, changed: list[tuple[str, str]], manifest: dict[str, Any], look_again: bool
) -> None:
    store.put(routed_deployment(7))
    changed.clear()
    store.put(manifest)
    assert (("team-a", "reviews") in changed) is look_again


def test_routers_of_a_deployment_that_is_deleted_look_again(store: Store, changed: list[tuple[str, str]]) -> None:
    store.put(routed_deployment(7))
    changed.clear()
    store.remove(routed_deployment(8))
    assert changed == [("team-a", "reviews")]


def test_a_pod_of_a_job_lets_no_router_look_again(store: Store, changed: list[tuple[str, str]]) -> None:
    pod = pod_of_deployment("reviews-a1-0")
    pod["metadata"]["labels"] = {"tuneloop.dev/job": "reviews"}
    store.put(pod)
    assert not changed
