"""The volumes of an object reach all its pods, and change nothing of a run."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import a_job, all_pods, container_of, server

from tuneloop_api.contract.defaults import as_set, config_hash

Fields = dict[str, Any]
SECRET: Fields = {"name": "a", "mountPath": "/a", "secret": {"secretName": "trackers"}}
CLAIM: Fields = {"name": "b", "mountPath": "/b", "persistentVolumeClaim": {"claimName": "lexicons"}}


def added(*volumes: Fields) -> dict[str, tuple[list[Fields], list[Fields]]]:
    """Return the volumes and mounts that stand in the pods of each stage and of the servers besides ours."""
    plain, given = all_pods(), all_pods(volumes=list(volumes))
    return {name: (_besides(plain[name], given[name])) for name in given}


def _besides(plain: Fields, given: Fields) -> tuple[list[Fields], list[Fields]]:
    """Return what is added. The ConfigMap of a server has the name of its revision, which changes with the volumes."""
    (_, *ours), mounts = plain["volumes"], container_of(plain)["volumeMounts"]
    assert [volume for volume in given["volumes"] if volume in ours] == ours
    return (
        [volume for volume in given["volumes"][1:] if volume not in ours],
        [mount for mount in container_of(given)["volumeMounts"] if mount not in mounts],
    )


def test_all_pods_get_the_volumes_and_only_read_them() -> None:
    for volumes, mounts in added(SECRET).values():
        assert volumes == [{"name": "a", "secret": {"secretName": "trackers"}}]
        assert mounts == [{"name": "a", "mountPath": "/a", "readOnly": True}]


@pytest.mark.parametrize(
    ("given", "is_read_only"), [({}, True), ({"readOnly": True}, True), ({"readOnly": False}, False)]
)
def test_a_claim_may_be_written_to(given: Fields, is_read_only: bool) -> None:
    reads = {"readOnly": True} if is_read_only else {}
    for volumes, mounts in added(CLAIM | given).values():
        assert volumes == [{"name": "b", "persistentVolumeClaim": {"claimName": "lexicons"} | reads}]
        assert mounts == [{"name": "b", "mountPath": "/b"} | reads]


@pytest.mark.parametrize("name", ["projected", "csi", "configMap"])
def test_objects_of_kubernetes_are_passed_on_as_they_are(name: str) -> None:
    source = {name: {"sources": [{"secret": {"name": "a"}}], "any": 1}}
    for volumes, _ in added({"name": "a", "mountPath": "/a"} | source).values():
        assert volumes == [{"name": "a"} | source]


def test_no_volume_of_others_takes_the_place_of_ours() -> None:
    """Such a volume is refused; a stored object may have it all the same."""
    stored = [SECRET | {"name": "config"}, SECRET | {"mountPath": "/tmp"}, CLAIM | {"mountPath": "/dev/shm"}]
    assert all(found == ([], []) for found in added(*stored).values())


@pytest.mark.parametrize("empty", [{}, {"volumes": []}])
def test_no_volume_changes_no_pod_and_no_revision(empty: Fields) -> None:
    assert all_pods(**empty) == all_pods()
    assert server(**empty) == server()


def test_volumes_are_no_part_of_a_run_but_of_a_servers_revision() -> None:
    assert config_hash(as_set(a_job(volumes=[SECRET]).spec)) == config_hash(as_set(a_job().spec))
    assert server(volumes=[SECRET])["metadata"]["name"] != server()["metadata"]["name"]
