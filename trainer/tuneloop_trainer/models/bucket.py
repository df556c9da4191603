"""Fetches a model from object storage into the claim: what safetensors models consist of, and nothing else."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING

from tuneloop_api.objects.storage import ALL_TRIES, ObjectChangedError, Storage, StorageRefusedError
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.uris import object_path
from tuneloop_trainer.errors import ModelAccessError
from tuneloop_trainer.models.files import MODEL_FILES, check_files
from tuneloop_trainer.objects.fetch import fetch
from tuneloop_trainer.objects.listing import MOST_OBJECTS, ListingError, listed
from tuneloop_trainer.objects.snapshot import changed_meanwhile, refused

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.wire.uris import ObjectPath


def fetch_model(uri: str, *, cache: Path, job: str, tries: int = ALL_TRIES) -> Path:
    """Return the folder of a model in object storage; objects that are there already are not loaded again.

    The folder is named after the objects' names, sizes and etags, so that other objects make another folder. job: a name for what is not whole yet.
    Raises ModelAccessError for what a person must change, StorageError for what may pass, OSError where the claim is full or read-only.
    """
    place, what = object_path(uri), f"model.uri: {uri}"
    assert place is not None, uri
    try:
        return _fetched(place, cache=cache, job=job, tries=tries)
    except StorageRefusedError as error:
        raise refused(error, what=what, kind=ModelAccessError) from error
    except ObjectChangedError as error:
        raise changed_meanwhile(error, what=what, kind=ModelAccessError) from error
    except ListingError as error:
        raise ModelAccessError(f"{what}: {error}", hint="give the object another name") from error


def _fetched(place: ObjectPath, *, cache: Path, job: str, tries: int) -> Path:
    storage = Storage(place, tries=tries)
    found = storage.below(place.path, most=MOST_OBJECTS)
    if not found:
        raise ModelAccessError(f"model.uri: {place.uri} does not exist", hint="give the folder that holds config.json")
    check_files({name for item in found if "/" not in (name := item.path[len(place.path) + 1 :])}, uri=place.uri)
    objects = listed(found, below=place.path, wanted=_is_wanted)
    etags = [[item.name, item.found.size, item.found.etag] for item in objects]
    folder = cache / f"{place.scheme.removesuffix('://')}--{digest_of([place.uri, etags])[:16]}"
    if not folder.is_dir():
        fetch(objects, storage, folder=folder, draft=folder.with_name(f".{folder.name}.{job}.draft"))
    return folder


def _is_wanted(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in MODEL_FILES) and "/" not in name
