"""Makes files of the objects that an address means: a snapshot of them, which stays as it is for the whole job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.objects.storage import ALL_TRIES, ObjectChangedError, Storage, StorageRefusedError
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.uris import object_path
from tuneloop_trainer.durable import file_sha256, make_folder, replace_durably
from tuneloop_trainer.errors import ConfigError, DataError, StorageError
from tuneloop_trainer.locate import ALLOWED, FORMATS, without_read_mes
from tuneloop_trainer.objects.fetch import fetch
from tuneloop_trainer.objects.listing import MOST_OBJECTS, ListedObject, ListingError, listed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_api.wire.uris import ObjectPath
    from tuneloop_trainer.errors import StageError

_SHOWN = 100
"""Objects that the data report names, at most."""


@dataclass(frozen=True, kw_only=True)
class ObjectSnapshot:
    """The objects of a source, as files."""

    path: Path
    """The file, or the folder of files."""
    facts: dict[str, Any]
    """For the data report: the objects with size, etag, version and SHA-256, and one digest over all of them."""


def snapshot_of_objects(
    uri: str, *, field: str, snapshots: Path, run: str = "", tries: int = ALL_TRIES
) -> ObjectSnapshot:
    """Return the snapshot of a source; one that this job made before stays, whatever the bucket holds by now.

    field: of the source, for messages. snapshots: folder of the job. run: names a run that must make new ones. tries: how often the storage is asked
    at most; 0: only a snapshot that is there can be had.
    Raises DataError or ConfigError for what a person must change, StorageError for what may pass.
    """
    place = object_path(uri)
    assert place is not None, uri
    folder = snapshots / digest_of([place.uri, field, run])[:16]
    about = folder.with_suffix(".json")
    if not about.exists():
        if tries == 0:
            raise ConfigError(f"{field}.uri: {uri}: the files that prepare has fetched are gone: {folder}")
        about_content = _fetched(place, folder=folder, what=f"{field}.uri: {uri}", tries=tries)
        replace_durably(about, json.dumps(about_content).encode())
    found = json.loads(about.read_bytes())
    return ObjectSnapshot(path=folder / found["file"] if found["file"] else folder, facts=found["facts"])


def refused(error: StorageRefusedError, *, what: str, kind: type[StageError]) -> StageError:
    """Return the failure of a stage. What may pass is a StorageError, after which the job begins again; kind: of all else."""
    refusal = error.refusal
    chosen: type[StageError] = StorageError if refusal.may_pass else kind
    return chosen(f"{what}: {refusal.what}", hint=refusal.hint)


def _fetched(place: ObjectPath, *, folder: Path, what: str, tries: int) -> dict[str, Any]:
    """Make the folder of a source; return which file of it is the source, or none, and the facts."""
    make_folder(folder.parent)
    try:
        storage = Storage(place, tries=tries)
        found = storage.find(place.path)
        objects = _below(storage, place, what=what) if found is None else [ListedObject(name=_last(place), found=found)]
        fetch(objects, storage, folder=folder, draft=folder.with_suffix(".draft"))
    except StorageRefusedError as error:
        raise refused(error, what=what, kind=DataError) from error
    except ObjectChangedError as error:
        raise changed_meanwhile(error, what=what, kind=DataError) from error
    return {"file": None if found is None else objects[0].name, "facts": _facts(objects, folder)}


def changed_meanwhile(error: ObjectChangedError, *, what: str, kind: type[StageError]) -> StageError:
    """Return the failure over an object that changed between listing and reading."""
    return kind(
        f"{what}: the object {error} was changed or deleted while it was fetched",
        hint="write new data under a new name, and begin again once nobody writes to these objects",
    )


def _below(storage: Storage, place: ObjectPath, *, what: str) -> list[ListedObject]:
    found = storage.below(place.path, most=MOST_OBJECTS)
    if not found:
        raise DataError(
            f"{what} does not exist",
            hint="check bucket and path; a folder is what stands before a / in names of objects",
        )
    if len(found) > MOST_OBJECTS:
        raise DataError(
            f"{what} has more than {MOST_OBJECTS:,} objects", hint="name a folder that holds the rows alone"
        )
    try:
        objects = listed(found, below=place.path, wanted=_is_wanted)
    except ListingError as error:
        raise DataError(f"{what}: {error}", hint="give the object another name") from error
    if not objects:
        there = ", ".join(item.path for item in found[:5])
        raise DataError(f"{what}: no object can be read; allowed: {ALLOWED}; there is {there}")
    return without_read_mes(objects, name=lambda item: item.name)


def _is_wanted(name: str) -> bool:
    """Whether a file of a source is read, or says what is: rows, and the descriptions of `datasets.save_to_disk`."""
    *_, last = parts = name.split("/")
    is_hidden = any(part.startswith((".", "_")) for part in parts)
    return not is_hidden and ("." + last.rpartition(".")[2].lower() in {*FORMATS, ".arrow"})


def _last(place: ObjectPath) -> str:
    return place.path.rpartition("/")[2]


def _facts(objects: Sequence[ListedObject], folder: Path) -> dict[str, Any]:
    rows = [
        {
            "name": item.found.path,
            "size": item.found.size,
            "etag": item.found.etag,
            "version": item.found.version,
            "sha256": file_sha256(folder / item.name),
        }
        for item in objects
    ]
    contents = [[row["name"], row["size"], row["sha256"]] for row in rows]
    return {
        "count": len(rows),
        "bytes": sum(item.found.size for item in objects),
        "digest": f"sha256:{digest_of(contents)}",
        "objects": rows[:_SHOWN],
    }
