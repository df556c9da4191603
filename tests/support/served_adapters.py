"""Base models and adapters as a server is told of them, and as it loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapter_artifacts import adapter_artifact, base_folder
from server_process import configuration

from tuneloop_server.adapters import check_all_files, read_manifests
from tuneloop_server.runtimes.torch_runtime import TORCH
from tuneloop_server.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tuneloop_api.contract.server_config import ServerConfig

NAMES = ("films", "books", "songs")


def berts_with_adapters(folder: Path) -> Path:
    """Write a BERT without a head to `base`, and an adapter on it for each name; return the folder."""
    base = base_folder(folder / "base", "bert")
    for seed, name in enumerate(NAMES, start=1):
        adapter_artifact(folder / name, base, seed=seed, temperature=float(seed))
    return folder


def places(folder: Path, *names: str) -> list[tuple[str, Path, str | None]]:
    """Return the adapters of a folder, without digests."""
    return [(name, folder / name, None) for name in names]


def served(base: Path, *adapters: tuple[str, Path, str | None], **changes: Any) -> ServerConfig:
    """Return the configuration of a server. adapters: name, folder, and digest."""
    places = [
        {"name": name, "artifact_path": str(folder), "artifact_uri": f"pvc://models/{name}", "digest": digest}
        for name, folder, digest in adapters
    ]
    return configuration(base, adapters=places, **changes)


def loaded(config: ServerConfig) -> Mapping[str | None, Any]:
    """Return the models of a server by their names, as it loads them."""
    manifest, adapters = read_manifests(config)
    check_all_files(config, manifest, adapters)
    return TORCH.load_adapters(config, manifest, adapters, task_of(config, manifest))
