"""What submitting a manifest does, given the object that is stored already. Pure.

The uid of a FineTuneJob is derived from its spec, or is that of the stored object (`same_run`). It names the folder on the claim.
"""

from __future__ import annotations

import copy
import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.uris import claim_path
from tuneloop_cli.local.one_machine import PLACEMENT, POD_OPTIONS
from tuneloop_cli.local.references import blocks_with_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.cluster import Manifest

DEFAULT_CLAIM = "default"
_UUID_NAMESPACE = uuid.UUID("6d0a2b0e-5f5b-4b3e-9a30-5d1f3a6f2c11")


class Submission(StrEnum):
    """What a submission does."""

    CREATE = "create"
    UNCHANGED = "unchanged"
    """The job has succeeded; nothing is done."""
    CONTINUE = "continue"
    """The object stays; its mutable fields take the manifest's values."""
    REPLACE = "replace"
    """The old object and the objects that it owns are deleted first. Its folder on the claim stays."""


def job_submission(manifest: Manifest, old: Manifest | None) -> Submission:
    """Return what submitting a FineTuneJob does, whose `metadata.uid` is set."""
    if old is None:
        return Submission.CREATE
    phase = (old.get("status") or {}).get("phase")
    if old["metadata"]["uid"] != manifest["metadata"]["uid"] or phase == "Failed":
        return Submission.REPLACE
    if phase == "Succeeded":
        return Submission.UNCHANGED
    return Submission.CONTINUE if immutable_spec(old) == immutable_spec(manifest) else Submission.REPLACE


def trained_identity(manifest: Manifest) -> str:
    """Return the uid of a FineTuneJob that goes on with no other: a hash of its name and of what is trained.

    Fields that may change while the job runs do not count, nor do those that say where its pods run, who they are and what their environment is.
    """
    metadata, spec = manifest["metadata"], immutable_spec(manifest)
    spec["scheduling"] = {
        name: value for name, value in (spec.get("scheduling") or {}).items() if name not in PLACEMENT
    }
    for _, block in blocks_with_secrets(spec):
        del block["secretRef"]
    trained = {name: value for name, value in spec.items() if name not in POD_OPTIONS | {"network"} and value != {}}
    return str(uuid.uuid5(_UUID_NAMESPACE, f"{metadata['namespace']}/{metadata['name']}/{digest_of(trained)}"))


def claims_read(manifest: Manifest) -> set[str]:
    """Return the claims that the manifest reads from: those of every `pvc://CLAIM/PATH` in the spec."""
    places = map(claim_path, _texts(manifest["spec"]))
    return {place.claim for place in places if place is not None}


def claim_written(manifest: Manifest) -> str:
    """Return the claim of a FineTuneJob's `spec.storage`."""
    claim: str = (manifest["spec"].get("storage") or {}).get("claim", DEFAULT_CLAIM)
    return claim


def immutable_spec(manifest: Manifest) -> dict[str, Any]:
    """Return the spec without the fields that may change while a job runs, and without empty blocks."""
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
