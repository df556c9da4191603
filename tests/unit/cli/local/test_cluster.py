from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from local_manifests import config_map, fine_tune_job, job

from tuneloop_cli.local.cluster.cluster import LocalCluster
from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_cli.local.errors import LocalError
from tuneloop_operator.errors import AlreadyExists, Conflict, Refused
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL


def run(coroutine):
    return asyncio.run(coroutine)


@pytest.fixture
def cluster(tmp_path) -> LocalCluster:
    return LocalCluster(tmp_path)


def owned(manifest, owner):
    reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    return manifest | {"metadata": manifest["metadata"] | {"ownerReferences": [reference | {"controller": True}]}}


def pod(name="one", **spec):
    containers = [{"name": "main", "command": ["true"]}]
    metadata = {"name": name, "namespace": "default", "labels": {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": containers} | spec,
        "status": {"phase": "Pending"},
    }


def test_a_deployment_is_scaled_by_its_uid_and_nothing_else_of_it_changes(tmp_path):
    cluster = LocalCluster(tmp_path)
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {"containers": []}}}
    metadata = {"name": "web", "namespace": "default", "labels": {"app": "web"}}
    made = asyncio.run(
        cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    )
    place = {"namespace": "default", "name": "web"}
    assert asyncio.run(cluster.scale(**place, uid="another", replicas=0)) is None
    scaled = asyncio.run(cluster.scale(**place, uid=made["metadata"]["uid"], replicas=0))
    assert scaled["spec"] == spec | {"replicas": 0}
    assert scaled["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert asyncio.run(cluster.get(kind="Deployment", **place)) == scaled


def test_the_address_that_the_node_writes_stays_when_the_operator_changes_the_service(cluster):
    metadata = {"name": "web", "namespace": "default", "labels": {}, "annotations": {"a": "1"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": "one"}}}
    made = run(cluster.apply(service))
    address = {LOCAL_URL: "http://127.0.0.1:1"}
    cluster.update(made | {"metadata": made["metadata"] | {"annotations": {"a": "1"} | address}})
    changed = run(cluster.apply(service | {"metadata": metadata | {"annotations": {"b": "2"}}}))
    assert changed["metadata"]["annotations"] == {"b": "2"} | address


def test_what_is_created_can_be_read_by_a_reader_without_the_lock(cluster, tmp_path):
    created = run(cluster.create(config_map()))
    assert ObjectFiles(tmp_path).read("ConfigMap", "default", "settings") == created
    assert created["metadata"].keys() >= {"uid", "resourceVersion", "creationTimestamp", "generation"}


def test_a_name_can_be_created_once(cluster):
    run(cluster.create(config_map()))
    with pytest.raises(AlreadyExists, match="settings"):
        run(cluster.create(config_map()))


def test_generation_counts_changes_of_the_spec_and_resource_version_all_changes(cluster):
    created = run(cluster.create(fine_tune_job()))
    with_status = run(cluster.patch_status(created, {"phase": "Running"}))
    changed = run(cluster.apply(fine_tune_job(suspend=True)))
    assert [version["metadata"]["generation"] for version in (created, with_status, changed)] == [1, 1, 2]
    versions = [int(version["metadata"]["resourceVersion"]) for version in (created, with_status, changed)]
    assert versions == sorted(set(versions))
    assert changed["status"] == {"phase": "Running"}
    assert changed["metadata"]["uid"] == created["metadata"]["uid"]


def test_a_write_that_changes_nothing_tells_nobody(cluster):
    created = run(cluster.create(config_map()))
    events = []
    cluster.subscribe(lambda event, manifest: events.append(event))
    assert run(cluster.apply(config_map())) == created
    assert run(cluster.patch_status(created, {})) != created
    assert events == ["MODIFIED"]


def test_a_status_that_was_read_too_long_ago_is_a_conflict(cluster):
    created = run(cluster.create(fine_tune_job()))
    run(cluster.patch_status(created, {"phase": "Running"}))
    with pytest.raises(Conflict):
        run(cluster.patch_status(created, {"phase": "Failed"}))


def test_the_status_in_a_new_manifest_does_not_count(cluster):
    assert "status" not in run(cluster.create(fine_tune_job() | {"status": {"phase": "Succeeded"}}))


def test_a_new_manifest_cannot_say_that_it_is_being_deleted(cluster):
    """Nothing is done for an object that is being deleted: a job would be Pending for ever."""
    given = fine_tune_job()
    deleted = {"deletionTimestamp": "2026-01-01T12:00:00Z", "deletionGracePeriodSeconds": 0}
    created = run(cluster.create(given | {"metadata": given["metadata"] | deleted}))
    assert not created["metadata"].keys() & deleted.keys()


def test_objects_are_listed_by_all_of_the_labels(cluster):
    for name, labels in (("one", {"a": "1"}), ("two", {"a": "1", "b": "2"}), ("three", {"b": "2"})):
        made = config_map(name)
        made["metadata"]["labels"] = labels
        run(cluster.create(made))
    found = run(cluster.list(kind="ConfigMap", namespace="default", labels={"a": "1", "b": "2"}))
    assert [manifest["metadata"]["name"] for manifest in found] == ["two"]


def test_only_the_object_with_that_uid_is_deleted(cluster):
    created = run(cluster.create(config_map()))
    run(cluster.delete(kind="ConfigMap", namespace="default", name="settings", uid="another"))
    assert run(cluster.get(kind="ConfigMap", namespace="default", name="settings")) == created
    run(cluster.delete(kind="ConfigMap", namespace="default", name="settings", uid=created["metadata"]["uid"]))
    assert run(cluster.get(kind="ConfigMap", namespace="default", name="settings")) is None
    run(cluster.delete(kind="ConfigMap", namespace="default", name="settings", uid=created["metadata"]["uid"]))


def test_what_an_object_owns_goes_with_it(cluster):
    top = run(cluster.create(fine_tune_job()))
    middle = run(cluster.create(owned(job("a1", "true"), top)))
    run(cluster.create(owned(config_map(), top)))
    run(cluster.create(owned(pod(), middle)))
    run(cluster.create(config_map("other")))
    assert len(cluster.dependents(top["metadata"]["uid"])) == 3
    run(cluster.delete(kind="FineTuneJob", namespace="default", name="reviews", uid=top["metadata"]["uid"]))
    left = [manifest["metadata"]["name"] for kind in ("Job", "Pod", "ConfigMap") for manifest in cluster.all(kind)]
    assert left == ["other"]


def test_a_deleted_fine_tune_job_takes_its_children_along_and_leaves_the_claims(cluster, tmp_path):
    kept = tmp_path / "claims" / "demo" / "jobs" / "reviews-1" / "artifact"
    kept.mkdir(parents=True)
    owner = run(cluster.create(fine_tune_job()))
    gang = run(cluster.create(owned(job("reviews-a1", "true"), owner)))
    run(cluster.create(owned(config_map("reviews-a1"), owner)))
    run(cluster.create(owned(pod("reviews-a1-0"), gang)))
    uid = owner["metadata"]["uid"]
    run(cluster.delete(kind="FineTuneJob", namespace="default", name="reviews", uid=uid))
    assert not [manifest for kind in ("FineTuneJob", "Job", "ConfigMap", "Pod") for manifest in cluster.all(kind)]
    assert kept.is_dir()


def test_what_lost_its_owner_while_nobody_ran_goes_at_the_next_start(cluster, tmp_path):
    top = run(cluster.create(fine_tune_job()))
    run(cluster.create(owned(config_map(), top)))
    ObjectFiles(tmp_path).remove(top)
    assert LocalCluster(tmp_path).all("ConfigMap") == []


def test_a_pod_that_runs_is_only_marked_and_keeps_its_grace(cluster):
    before = datetime.now(UTC).replace(microsecond=0)
    created = run(cluster.create(pod(nodeName="here", terminationGracePeriodSeconds=7)))
    run(cluster.delete(kind="Pod", namespace="default", name="one", uid=created["metadata"]["uid"]))
    (marked,) = cluster.all("Pod")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
    assert datetime.fromisoformat(marked["metadata"]["deletionTimestamp"]) >= before + timedelta(seconds=7)
    marked["metadata"]["deletionGracePeriodSeconds"] = 0
    cluster.update(marked)
    assert cluster.all("Pod") == []


def test_a_pod_with_a_finalizer_waits_for_whoever_set_it(cluster):
    made = pod()
    made["metadata"]["finalizers"] = ["counting"]
    created = run(cluster.create(made))
    run(cluster.delete(kind="Pod", namespace="default", name="one", uid=created["metadata"]["uid"]))
    (marked,) = cluster.all("Pod")
    marked["metadata"]["finalizers"] = []
    cluster.update(marked)
    assert cluster.all("Pod") == []


def test_everything_is_there_again_at_the_next_start(cluster, tmp_path):
    run(cluster.create(config_map()))
    job_ = run(cluster.create(fine_tune_job()))
    run(cluster.patch_status(job_, {"phase": "Running"}))
    again = LocalCluster(tmp_path)
    for kind in ("ConfigMap", "FineTuneJob"):
        assert again.all(kind) == cluster.all(kind)
    later = run(again.apply(fine_tune_job(suspend=True)))
    assert int(later["metadata"]["resourceVersion"]) > int(cluster.all("FineTuneJob")[0]["metadata"]["resourceVersion"])


def test_half_a_write_of_a_killed_process_is_not_read(cluster, tmp_path):
    created = run(cluster.create(config_map()))
    path = ObjectFiles(tmp_path).path("ConfigMap", "default", "settings")
    path.with_name(f"{path.name}.tmp").write_text('{"kind": "Conf')
    assert LocalCluster(tmp_path).all("ConfigMap") == [created]
    assert [file.name for file in path.parent.iterdir()] == ["settings.json"]


def test_a_damaged_file_is_named(cluster, tmp_path):
    run(cluster.create(config_map()))
    path = ObjectFiles(tmp_path).path("ConfigMap", "default", "settings")
    path.write_text("{")
    with pytest.raises(LocalError, match=str(path)):
        LocalCluster(tmp_path)


def test_what_a_caller_does_with_an_object_stays_with_the_caller(cluster):
    given = config_map()
    created = run(cluster.create(given))
    created["data"]["a"] = given["data"]["a"] = "changed"
    assert cluster.all("ConfigMap")[0]["data"] == {"a": "1"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(config_map(immutable=True), config_map(data={"a": "2"}, immutable=True), id="immutable ConfigMap"),
        pytest.param(job("one", "true"), job("one", "false"), id="template of a Job"),
    ],
)
def test_what_an_api_server_keeps_fixed_is_fixed(cluster, before, after):
    run(cluster.create(before))
    with pytest.raises(Refused, match="immutable"):
        run(cluster.apply(after))


def test_a_job_can_be_suspended_although_its_template_is_fixed(cluster):
    created = run(cluster.create(job("one", "true")))
    suspended = run(cluster.apply(created | {"spec": created["spec"] | {"suspend": True}}))
    assert suspended["spec"]["suspend"] is True


@pytest.mark.parametrize("name", ["", "../escape", "Upper", "a/b"])
def test_a_name_that_is_none_is_refused(cluster, name):
    with pytest.raises(Refused, match="metadata.name"):
        run(cluster.create(config_map(name)))
