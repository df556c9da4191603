"""Whether a manifest goes on with the run of the object that is stored: the uid, which names the folder on the claim. Pure.

A job that has not succeeded keeps its uid while the manifest trains the same: so a field that has nothing to do with training loses no step.
A job that has succeeded keeps its uid for the same manifest only: its artifact stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tuneloop_api.contract.defaults import IDENTITY_VERSIONS, as_set, config_hash, with_defaults
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.printable import printable
from tuneloop_cli.local.submission import immutable_spec, trained_identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop_operator.cluster import Manifest

IDENTITY = "tuneloop.dev/identity"
"""Annotation of a stored job: `trained_identity` of the manifest as it was written. Objects of release 0.1.0 have it as their uid."""
WHERE = ("storage",)
"""Blocks that say where the run lies."""
_MOST_NAMED = 3
_LONGEST_VALUE = 60


def run_uid(manifest: Manifest, old: Manifest | None) -> str:
    """Return the uid of a FineTuneJob: that of the stored object if the manifest goes on with its run."""
    written = trained_identity(manifest)
    if old is None:
        return written
    is_same = written == _identity_of(old) or (phase_of(old) != "Succeeded" and not unlike(manifest, old))
    return str(old["metadata"]["uid"]) if is_same else written


def unlike(manifest: Manifest, old: Manifest) -> list[str]:
    """Return what keeps a manifest from going on with the run of the stored object: `FIELD: OLD → NEW`. Empty: nothing."""
    try:
        before, after = FineTuneJob.from_wire(_spec_alone(old)), FineTuneJob.from_wire(_spec_alone(manifest))
    except ValidationError:
        return ["the stored job is of another release and cannot be read"]
    changes = list(
        _changes({name: old["spec"].get(name) for name in WHERE}, {name: manifest["spec"].get(name) for name in WHERE})
    )
    if config_hash(as_set(before.spec)) != config_hash(as_set(after.spec)):
        changes += _changes(_trained(before), _trained(after))
    changes += _changes(_resumed(before), _resumed(after))
    return changes


def changed_fields(manifest: Manifest, old: Manifest) -> list[str]:
    """Return what the manifest changes: `FIELD: OLD → NEW`. Fields that may change while a job runs, and those that this machine fits, do not count."""
    fitted = ("resources", "scheduling")
    before, after = (
        {name: value for name, value in immutable_spec(found).items() if name not in fitted}
        for found in (old, manifest)
    )
    return list(_changes(before, after))


def in_words(changes: list[str]) -> str:
    """Return changes as a part of a line: the first ones, and how many there are besides."""
    more = len(changes) - _MOST_NAMED
    return ", ".join(changes[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _trained(job: FineTuneJob) -> dict[str, Any]:
    wire = with_defaults(job.spec).non_defaults()
    blocks = {name: wire[name] for name in IDENTITY_VERSIONS if name in wire}
    if "validateRows" in blocks["data"]:
        blocks["data"]["validate"] = blocks["data"].pop("validateRows")
    return blocks


def _resumed(job: FineTuneJob) -> dict[str, Any]:
    """Return what a job says about the checkpoint that it begins with."""
    given = job.spec.checkpoint
    return {"checkpoint": {"resume": (given and given.resume) or "auto", "resumeFrom": given and given.resume_from}}


def _changes(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _changes(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from _changes(*pair, f"{path}[{number}]")
    elif isinstance(old, dict) and new is None:
        yield from _changes(old, {}, path)
    elif isinstance(new, dict) and old is None:
        yield from _changes({}, new, path)
    elif old != new:
        yield f"{path}: {_shown(old)} → {_shown(new)}"


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    text = printable(str(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _spec_alone(manifest: Manifest) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name != "status"}


def _identity_of(old: Manifest) -> str:
    metadata: Mapping[str, Any] = old["metadata"]
    return str((metadata.get("annotations") or {}).get(IDENTITY) or metadata["uid"])


def phase_of(old: Manifest) -> str | None:
    """Return the phase of a stored job, if it has one."""
    phase: str | None = (old.get("status") or {}).get("phase")
    return phase
