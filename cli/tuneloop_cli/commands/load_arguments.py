"""The manifests that a command was given, or a message that says what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.manifests.load import load_manifests
from tuneloop_cli.manifests.problems import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_cli.manifests.load import LoadedManifest


def manifests_in(files: list[Path]) -> list[LoadedManifest]:
    """Return all manifests of these files and folders; two of one kind and name are refused."""
    try:
        loaded = load_manifests(files)
    except ManifestError as error:
        raise TuneloopExit(Exit.BAD_INPUT, str(error)) from error
    seen: dict[tuple[str, str], LoadedManifest] = {}
    for each in loaded:
        other = seen.setdefault((each.kind, each.name), each)
        if other is not each:
            raise TuneloopExit(Exit.BAD_INPUT, f"{each.file}: {each.kind} {each.name} stands in {other.file} as well")
    return loaded


def the_only(kind: str, files: list[Path], *, command: str) -> LoadedManifest:
    """Return the one manifest of this kind in the files; others besides are refused."""
    loaded = manifests_in(files)
    wanted = [each for each in loaded if each.kind == kind]
    if len(loaded) == 1 and wanted:
        return wanted[0]
    found = ", ".join(f"{each.kind} {each.name}" for each in loaded)
    raise TuneloopExit(
        Exit.BAD_INPUT,
        f"tuneloop {command} takes exactly one {kind}; found: {found}. For several: tuneloop up -f FOLDER",
    )
