"""The objects that manifests refer to, as the operator would know them once all of them are applied: those that are checked together, and those of the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_operator.controller.controllers import new_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_cli.kinds import CustomKind
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_cli.manifests.load import LoadedManifest
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.controller.store import Store


def known_objects(loaded: Iterable[LoadedManifest], *, folders: Folders) -> Store:
    """Return a store of all of them; a manifest that is checked stands for the stored object of its name."""
    objects = ObjectFiles(folders.root)
    kinds: tuple[CustomKind, ...] = ("FineTuneJob", "ModelDeployment")
    found = {_key(manifest): manifest for kind in kinds for manifest in objects.read_all(kind)}
    found |= {_key(given.manifest): given.manifest for given in loaded}
    store = new_store()
    for manifest in found.values():
        store.put(as_stored(manifest))
    return store


def as_stored(manifest: Manifest) -> Manifest:
    """Return a manifest with what the API server adds, which the operator needs to read it."""
    added = {"uid": "-".join(_key(manifest)), "resourceVersion": "1"}
    return manifest | {"metadata": added | manifest["metadata"]}


def _key(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata["namespace"], metadata["name"]
