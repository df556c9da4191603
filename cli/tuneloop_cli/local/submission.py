"""What submitting a manifest means, given what is there already. Pure.

A FineTuneJob's uid is derived from its spec, so that the same file leads to the same folder on the claim and goes on there.
"""

from __future__ import annotations

import copy
import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.uris import claim_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.cluster import Manifest

DEFAULT_CLAIM = "default"
_SPACE = uuid.UUID("6d0a2b0e-5f5b-4b3e-9a30-5d1f3a6f2c11")


class Submission(StrEnum):
    """What is to be done."""

    CREATE = "create"
    STAY = "stay"
    """It has succeeded: nothing is to be done."""
    CONTINUE = "continue"
    """The object stays; its mutable fields become the manifest's."""
    REPLACE = "replace"
    """The old object and what belongs to it go first. Its folder on the claim stays."""


def submission(manifest: Manifest, old: Manifest | None) -> Submission:
    """Return what submitting this manifest does; its `metadata.uid` must be set if it is a FineTuneJob."""
    if old is None:
        return Submission.CREATE
    if manifest["kind"] != "FineTuneJob":
        return Submission.CONTINUE
    phase = (old.get("status") or {}).get("phase")
    if old["metadata"]["uid"] != manifest["metadata"]["uid"] or phase == "Failed":
        return Submission.REPLACE
    if phase == "Succeeded":
        return Submission.STAY
    return Submission.CONTINUE if _frozen(old) == _frozen(manifest) else Submission.REPLACE


def identity(manifest: Manifest) -> str:
    """Return the uid of a FineTuneJob: its name, and its spec without the fields that may change while it runs."""
    metadata = manifest["metadata"]
    return str(uuid.uuid5(_SPACE, f"{metadata['namespace']}/{metadata['name']}/{digest_of(_frozen(manifest))}"))


def claims_read(manifest: Manifest) -> set[str]:
    """Return the claims that must hold something: those of every `pvc://CLAIM/PATH` in the spec."""
    places = map(claim_path, _texts(manifest["spec"]))
    return {place.claim for place in places if place is not None}


def claim_written(manifest: Manifest) -> str:
    """Return the claim of `spec.storage`."""
    claim: str = (manifest["spec"].get("storage") or {}).get("claim", DEFAULT_CLAIM)
    return claim


def _frozen(manifest: Manifest) -> dict[str, Any]:
    spec: dict[str, Any] = copy.deepcopy(manifest["spec"])
    for path in FineTuneJob.mutable_once_started:
        *above, name = path.split(".")
        block = spec
        for part in above:
            block = block.get(part) or {}
        block.pop(name, None)
    return {name: value for name, value in spec.items() if value not in ({}, None)}


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
