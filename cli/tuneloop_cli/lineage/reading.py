"""Reads the documents: from the folder of local mode with the files of its claims, or from a cluster, whose claims are out of reach."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tuneloop_api.contract.artifact import MANIFEST
from tuneloop_api.contract.artifact import Manifest as ArtifactManifest
from tuneloop_cli.lineage.documents import Document, Documents
from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_cli.local.folders import artifact_folder, on_claims
from tuneloop_cli.local.kubelet.pod_plan import Folders
from tuneloop_operator.cluster.api_server import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def of_folder(folder: Path) -> Documents:
    """Return what the folder of local mode holds; no lock is needed."""
    folders, objects = Folders(root=folder.resolve()), ObjectFiles(folder)
    return Documents(
        where=str(folder),
        jobs=_by_name(objects.read_all("FineTuneJob")),
        deployments=_by_name(objects.read_all("ModelDeployment")),
        read_manifest=lambda uri: _manifest(uri, folders),
        read_report=lambda path: _json(on_claims(path, folders=folders)),
    )


async def of_cluster(namespace: str) -> Documents:
    """Return the objects of a namespace, by KUBECONFIG. Raises NoConfiguration, ClusterError."""
    server = await ApiServer.connect()
    try:
        jobs = await server.list(kind="FineTuneJob", namespace=namespace, labels={})
        deployments = await server.list(kind="ModelDeployment", namespace=namespace, labels={})
    finally:
        await server.close()
    return Documents(
        where=f"namespace {namespace}",
        jobs=_by_name(jobs),
        deployments=_by_name(deployments),
        read_manifest=_out_of_reach,
        read_report=_out_of_reach,
    )


def _out_of_reach(_: str) -> None:
    return None


def _by_name(objects: Iterable[Document]) -> dict[str, Document]:
    return {found["metadata"]["name"]: found for found in objects}


def _manifest(uri: str, folders: Folders) -> ArtifactManifest | None:
    try:
        return ArtifactManifest.from_wire(_json(artifact_folder(uri, folders=folders) / MANIFEST))
    except (ValueError, ValidationError):  # no path, or no manifest
        return None


def _json(path: Path) -> Any:
    """Return the content of a file; None where it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
