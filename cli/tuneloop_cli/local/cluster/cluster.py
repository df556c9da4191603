"""LocalCluster: the operator's `Cluster` protocol on plain files, with a few methods more for the controllers of local mode.

The folder's lock admits one writer, so the objects in memory are authoritative. Every change is on disk before a subscriber is called.
"""

from __future__ import annotations

import copy
import re
import uuid
from typing import TYPE_CHECKING, Any

from tuneloop_cli.local.cluster.clock import now
from tuneloop_cli.local.cluster.fields import check_fields
from tuneloop_cli.local.cluster.object_files import KINDS, ObjectFiles
from tuneloop_operator.errors import AlreadyExists, Conflict, Refused
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Literal

    from tuneloop_operator.cluster import Kind, Manifest

    Manifests = list[Manifest]  # inside the class, `list` is the protocol's method

    EventType = Literal["ADDED", "MODIFIED", "DELETED"]
    Subscriber = Callable[[EventType, Manifest], None]
    Key = tuple[str, str, str]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_SET_BY_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "finalizers")
_SET_BY_DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds")


class LocalCluster:
    """The objects of one folder. Only the holder of the folder's lock may use it; readers use `ObjectFiles`."""

    def __init__(self, directory: Path) -> None:
        self._files = ObjectFiles(directory)
        self._files.remove_leftovers()
        self._objects = {key_of(manifest): manifest for kind in KINDS for manifest in self._files.read_all(kind)}
        self._version = max(
            (int(manifest["metadata"]["resourceVersion"]) for manifest in self._objects.values()), default=0
        )
        self._subscribers: list[Subscriber] = []
        self._collect_orphans()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber(event type, object)` after each change. It must not raise, wait, or change the object."""
        self._subscribers.append(subscriber)

    async def get(self, *, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return the object, or None."""
        return self.peek(kind=kind, namespace=namespace, name=name)

    async def list(self, *, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Manifests:
        """Return the objects that carry all these labels."""
        found = self.all(kind, namespace=namespace)
        return [manifest for manifest in found if labels.items() <= _labels(manifest).items()]

    async def create(self, manifest: Manifest) -> Manifest:
        """Create the object; return it as stored. Raises `AlreadyExists`, `Refused`."""
        _check(manifest)
        if key_of(manifest) in self._objects:
            raise AlreadyExists(f"{manifest['kind']} {manifest['metadata']['name']} is there already")
        created = copy.deepcopy(manifest)
        if manifest["kind"] != "Pod":  # the controllers create a pod with its first status
            created.pop("status", None)
        if manifest["kind"] in {"Job", "Deployment"}:
            created["status"] = {}
        metadata = created["metadata"]
        chosen = metadata.get("uid") if manifest["kind"] == "FineTuneJob" else None  # names the folder on the claim
        metadata |= {"uid": chosen or str(uuid.uuid4()), "generation": 1, "creationTimestamp": now()}
        for name in _SET_BY_DELETION:
            metadata.pop(name, None)
        return self._store(created, event="ADDED")

    async def apply(self, manifest: Manifest) -> Manifest:
        """Create the object, or make the stored object equal to this manifest. Its status, and what server and node set, stay. Raises `Refused`."""
        old = self._objects.get(key_of(manifest))
        if old is None:
            return await self.create(manifest)
        _check(manifest)
        _refuse_change(old, manifest)
        wanted = copy.deepcopy(manifest)
        wanted["metadata"] |= {name: old["metadata"][name] for name in _SET_BY_SERVER if name in old["metadata"]}
        if url := old["metadata"].get("annotations", {}).get(LOCAL_URL):  # of the node, until the node writes another
            wanted["metadata"]["annotations"] = wanted["metadata"].get("annotations", {}) | {LOCAL_URL: url}
        wanted.pop("status", None)
        if "status" in old:
            wanted["status"] = old["status"]
        if wanted == old:
            return copy.deepcopy(old)
        if _content(wanted) != _content(old):
            wanted["metadata"]["generation"] = old["metadata"]["generation"] + 1
        return self._store(wanted)

    async def scale(self, *, namespace: str, name: str, uid: str, replicas: int) -> Manifest | None:
        """Set the number of pods of a Deployment and nothing else; None if there is none with this uid."""
        found = self.peek(kind="Deployment", namespace=namespace, name=name)
        if found is None or found["metadata"]["uid"] != uid:
            return None
        return await self.apply(found | {"spec": found["spec"] | {"replicas": replicas}})

    async def keep_replicas(self, deployment: Manifest) -> None:
        """Do nothing: there is no autoscaler in local mode, and every Deployment that is applied names its number of pods."""

    async def delete(self, *, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete the object if it has this uid, and its dependents. An absent object is no error.

        A pod whose process runs is only marked as deleted. The pod is removed when the process has ended and the Job controller has counted it.
        """
        old = self._objects.get((kind, namespace, name))
        if old is None or old["metadata"]["uid"] != uid:
            return
        if kind == "Pod":
            self._mark_deleted(old)
        else:
            self._drop(old)

    async def refusal(self, *, namespace: str, job_uid: str) -> str:  # noqa: ARG002  (of the protocol)
        """Return nothing: local mode admits every pod."""
        return ""

    async def mount_failure(self, *, namespace: str, pod_uid: str) -> str:  # noqa: ARG002  (of the protocol)
        """Return nothing: local mode mounts no volumes."""
        return ""

    async def patch_status(self, manifest: Manifest, status: dict[str, Any]) -> Manifest:
        """Replace the status of the object. Raises `Conflict` if it changed since it was read, or is gone."""
        return self.update(manifest | {"status": copy.deepcopy(status)})

    def peek(self, *, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return a copy of an object, or None."""
        return copy.deepcopy(self._objects.get((kind, namespace, name)))

    def all(self, kind: Kind, *, namespace: str | None = None) -> Manifests:
        """Return copies of the objects of a kind, in one namespace or in all."""
        keys = sorted(key for key in self._objects if key[0] == kind and namespace in {None, key[1]})
        return [copy.deepcopy(self._objects[key]) for key in keys]

    def dependents(self, uid: str) -> Manifests:
        """Return copies of the objects that the object with this uid owns, directly or indirectly."""
        direct = [manifest for manifest in self._objects.values() if uid in _owners(manifest)]
        below = [dependent for owner in direct for dependent in self.dependents(owner["metadata"]["uid"])]
        return [copy.deepcopy(manifest) for manifest in direct] + below

    def update(self, manifest: Manifest) -> Manifest:
        """Replace the whole object. Raises `Conflict` if it changed since it was read, or is gone.

        A pod that is marked as deleted is removed by this call, if its grace period is 0 and it has no finalizer.
        """
        old = self._objects.get(key_of(manifest))
        if old is None or old["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise Conflict(f"{manifest['kind']} {manifest['metadata']['name']} changed since it was read")
        stored = copy.deepcopy(old) if manifest == old else self._store(copy.deepcopy(manifest))
        metadata = stored["metadata"]
        if metadata.get("deletionGracePeriodSeconds") == 0 and not metadata.get("finalizers"):
            self._drop(stored)
        return stored

    def _mark_deleted(self, pod: Manifest) -> None:
        """Begin the deletion of a pod as an API server does: a pod without a running process gets no grace period."""
        if "deletionTimestamp" in pod["metadata"]:
            return
        runs = "nodeName" in pod["spec"] and pod["status"].get("phase") not in {"Succeeded", "Failed"}
        grace = max(1, pod["spec"].get("terminationGracePeriodSeconds", 30)) if runs else 0
        mark = {"deletionTimestamp": now(later=grace), "deletionGracePeriodSeconds": grace}
        self.update(pod | {"metadata": pod["metadata"] | mark})

    def _store(self, manifest: Manifest, *, event: EventType = "MODIFIED") -> Manifest:
        self._version += 1
        manifest["metadata"]["resourceVersion"] = str(self._version)
        self._files.write(manifest)
        self._objects[key_of(manifest)] = manifest
        self._notify(event, manifest)
        return copy.deepcopy(manifest)

    def _drop(self, manifest: Manifest) -> None:
        """Remove an object, then the objects that it owned. After a kill in between, the next start removes the rest."""
        gone = self._objects.pop(key_of(manifest))
        self._files.remove(gone)
        self._notify("DELETED", gone)
        self._collect_orphans()

    def _collect_orphans(self) -> None:
        """Delete every object whose owners are gone, and then the objects that it owned."""
        uids = {manifest["metadata"]["uid"] for manifest in self._objects.values()}
        owners = {key: _owners(manifest) for key, manifest in self._objects.items()}
        orphans = [key for key, owner_uids in owners.items() if owner_uids and not owner_uids & uids]
        for key in orphans:
            orphan = self._objects.get(key)  # it may have been removed with another orphan
            if orphan is not None and orphan["kind"] == "Pod":
                self._mark_deleted(orphan)
            elif orphan is not None:
                self._drop(orphan)

    def _notify(self, event: EventType, manifest: Manifest) -> None:
        for subscriber in self._subscribers:
            subscriber(event, copy.deepcopy(manifest))


def key_of(manifest: Manifest) -> Key:
    """Return kind, namespace and name."""
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _labels(manifest: Manifest) -> dict[str, str]:
    return manifest["metadata"].get("labels") or {}


def _owners(manifest: Manifest) -> set[str]:
    return {owner["uid"] for owner in manifest["metadata"].get("ownerReferences", ())}


def _content(manifest: Manifest) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name not in {"metadata", "status"}}


def _check(manifest: Manifest) -> None:
    """Raise `Refused` for a name that is no name, and for fields that local mode would have to ignore."""
    for name in ("name", "namespace"):
        if not _NAME.fullmatch(str(manifest["metadata"].get(name, ""))):
            raise Refused(
                f"{manifest['kind']} metadata.{name}: {manifest['metadata'].get(name)!r} is no name of an object"
            )
    check_fields(manifest)


def _refuse_change(old: Manifest, new: Manifest) -> None:
    """Raise `Refused` for a changed Job template and for a changed immutable ConfigMap, as an API server does."""
    fixed = old["kind"] == "Job" or (old["kind"] == "ConfigMap" and old.get("immutable"))
    before, after = _content(old), _content(new)
    if old["kind"] == "Job":
        before, after = (content | {"spec": content["spec"] | {"suspend": None}} for content in (before, after))
    if fixed and before != after:
        raise Refused(f"{old['kind']} {old['metadata']['name']} is immutable once it is created")
