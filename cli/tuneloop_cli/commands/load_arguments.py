"""Loads the manifests of a command's arguments; problems end the command with one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.manifests.load import load_manifests
from tuneloop_cli.manifests.problems import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_cli.manifests.load import LoadedManifest


def manifests_in(files: list[Path]) -> list[LoadedManifest]:
    """Return all manifests of these files and folders. Two manifests of the same kind and name are refused."""
    try:
        loaded = load_manifests(files)
    except ManifestError as error:
        raise TuneloopExit(Exit.BAD_INPUT, str(error)) from error
    by_name: dict[tuple[str, str], LoadedManifest] = {}
    for manifest in loaded:
        other = by_name.setdefault((manifest.kind, manifest.name), manifest)
        if other is not manifest:
            raise TuneloopExit(
                Exit.BAD_INPUT, f"{manifest.file}: {manifest.kind} {manifest.name} stands in {other.file} as well"
            )
    return loaded


def only_manifest(kind: str, files: list[Path], *, command: str) -> LoadedManifest:
    """Return the only manifest of the files. A manifest of another kind, or more than one manifest, is refused."""
    loaded = manifests_in(files)
    if len(loaded) == 1 and loaded[0].kind == kind:
        return loaded[0]
    found = ", ".join(f"{manifest.kind} {manifest.name}" for manifest in loaded)
    raise TuneloopExit(
        Exit.BAD_INPUT,
        f"tuneloop {command} takes exactly one {kind}; found: {found}. For several: tuneloop up -f FOLDER",
    )
