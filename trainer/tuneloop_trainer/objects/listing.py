"""Which objects of a bucket become files, and by which names. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tuneloop_api.objects.storage import RemoteObject

MOST_OBJECTS = 10_000
"""Below one address. What is more is a bucket's whole content, named by mistake."""
_LONGEST_NAME = 255
"""Bytes of a file's name."""


@dataclass(frozen=True, kw_only=True)
class ListedObject:
    """An object, and the file that it becomes."""

    name: str
    """Path of the file below the folder, with slashes."""
    found: RemoteObject


class ListingError(Exception):
    """A name in a bucket that can be no file."""


def listed(objects: Iterable[RemoteObject], *, below: str, wanted: Callable[[str], bool]) -> list[ListedObject]:
    """Return the wanted objects below a name. wanted: by the name of the file. Raises ListingError for a name that leads elsewhere, or is file and folder at once."""
    chosen = [ListedObject(name=found.path[len(below) :].lstrip("/"), found=found) for found in objects]
    chosen = [item for item in chosen if item.name and wanted(item.name)]
    for item in chosen:
        if not _is_file_name(item.name):
            raise ListingError(f"the object {item.found.path!a} has a name that no file can have")
    names = {item.name for item in chosen}
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    if clash := sorted(names & folders):
        raise ListingError(f"{clash[0]!a} is an object, and a folder of objects")
    return chosen


def _is_file_name(name: str) -> bool:
    """Whether a name can be a path below a folder: no empty part, no `.` or `..`, nothing that steers a terminal or another system."""
    return all(
        part not in {"", ".", ".."} and part.isprintable() and "\\" not in part and len(part.encode()) <= _LONGEST_NAME
        for part in name.split("/")
    )
