"""Carries out a decision through the cluster, in its order. Every reply goes into the store at once."""

from __future__ import annotations

from itertools import filterfalse
from typing import TYPE_CHECKING, cast

from tuneloop_operator.cluster.field_owners import apply_resets_replicas
from tuneloop_operator.cluster.owners import owner_uid
from tuneloop_operator.desired.common.compare import covers
from tuneloop_operator.errors import AlreadyExists, NameConflict, Refused

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Cluster, Kind, Manifest
    from tuneloop_operator.controller.store import Store
    from tuneloop_operator.decide.decision import Decision, Scaling


async def carry_out(decision: Decision, *, owner: Manifest, cluster: Cluster, store: Store) -> None:
    """Write the status, then delete, create ConfigMaps, apply, create the rest, scale. If the owner itself is deleted, the store forgets it.

    Raises `Conflict` if the owner changed since it was read, `NameConflict` and `Refused` with the name of the blocked child, and
    `ClusterUnavailable`. The writes before the error stay; the next decision goes on from there.
    """
    if decision.status is not None:
        store.put(await cluster.patch_status(owner, decision.status))
    namespace, uid = owner["metadata"]["namespace"], owner["metadata"]["uid"]
    for deletion in decision.delete:
        await cluster.delete(kind=deletion.kind, namespace=namespace, name=deletion.name, uid=deletion.uid)
        if deletion.uid == uid:  # the watch may report it late, and nothing is to be decided for it again
            store.remove(store.get(deletion.kind, namespace=namespace, name=deletion.name) or owner)
    # a kubelet that does not find what a pod mounts waits longer after each look
    for manifest in filter(_is_config_map, decision.create):
        store.put(await _created(manifest, uid=uid, cluster=cluster))
    for manifest in decision.apply:
        store.put(await _applied(manifest, uid=uid, cluster=cluster))
    for manifest in filterfalse(_is_config_map, decision.create):
        store.put(await _created(manifest, uid=uid, cluster=cluster))
    for scaling in decision.scale:
        scaled = await _scaled(scaling, namespace=namespace, cluster=cluster)
        if scaled is not None:
            store.put(scaled)


def _is_config_map(manifest: Manifest) -> bool:
    return bool(manifest["kind"] == "ConfigMap")


async def _applied(manifest: Manifest, *, uid: str, cluster: Cluster) -> Manifest:
    metadata = manifest["metadata"]
    kind = cast("Kind", manifest["kind"])
    existing = await cluster.get(kind=kind, namespace=metadata["namespace"], name=metadata["name"])
    if existing is not None and owner_uid(existing) != uid:
        raise _conflict(manifest, why="it has another owner")
    try:
        if existing is not None and apply_resets_replicas(existing, manifest):
            await cluster.keep_replicas(existing)
        return await cluster.apply(manifest)
    except Refused as error:
        raise Refused(f"{manifest['kind']} {metadata['name']}: {error}") from error


async def _created(manifest: Manifest, *, uid: str, cluster: Cluster) -> Manifest:
    """Create the object. If it exists and is ours, an earlier create succeeded and its answer was lost."""
    metadata = manifest["metadata"]
    try:
        return await cluster.create(manifest)
    except Refused as error:
        raise Refused(f"{manifest['kind']} {metadata['name']}: {error}") from error
    except AlreadyExists:
        kind = cast("Kind", manifest["kind"])
        existing = await cluster.get(kind=kind, namespace=metadata["namespace"], name=metadata["name"])
    if existing is None:
        raise AlreadyExists(f"{manifest['kind']} {metadata['name']} was there and is gone")
    if owner_uid(existing) != uid:
        raise _conflict(manifest, why="it has another owner")
    if not covers(existing["metadata"].get("labels"), metadata["labels"]):  # without them it is never found
        raise _conflict(manifest, why="somebody removed our labels")
    if not covers(existing["metadata"].get("annotations") or {}, metadata.get("annotations") or {}):
        raise AlreadyExists(f"{manifest['kind']} {metadata['name']} of an earlier run is not gone yet")
    return existing


async def _scaled(scaling: Scaling, *, namespace: str, cluster: Cluster) -> Manifest | None:
    try:
        return await cluster.scale(namespace=namespace, name=scaling.name, uid=scaling.uid, replicas=scaling.replicas)
    except Refused as error:
        raise Refused(f"Deployment {scaling.name}: {error}") from error


def _conflict(manifest: Manifest, *, why: str) -> NameConflict:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    return NameConflict(
        f"{kind} {name} is not ours: {why}. It is left alone; delete or rename it, or create this object under another name."
    )
