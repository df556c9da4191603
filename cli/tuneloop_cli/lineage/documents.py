"""What the lineage is read from: objects of a folder or a cluster, and files of artifacts where they can be reached. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.views.values import at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tuneloop_api.contract.artifact import Manifest as ArtifactManifest

Document = dict[str, Any]
_JOB_FOLDER = re.compile(r"/jobs/(?P<name>[a-z0-9]([a-z0-9.-]*[a-z0-9])?)-(?P<uid>[0-9a-f]{8})(/|$)")
"""Of a job on its claim: `jobs/NAME-UID`, the first eight characters of the uid."""
_UID_CHARACTERS = 8


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Objects by name, of one namespace, and two readers that return None for what they cannot reach."""

    where: str
    """For messages: a folder or a namespace."""
    jobs: Mapping[str, Document]
    deployments: Mapping[str, Document]
    read_manifest: Callable[[str], ArtifactManifest | None]
    """Takes the URI of an artifact."""
    read_report: Callable[[str], Document | None]
    """Takes the path of a data report, as in `status.data.report`."""

    def deployment(self, name: str) -> Document:
        """Return a ModelDeployment. Raises TuneloopExit if there is none."""
        return _named("ModelDeployment", name, self.deployments, where=self.where)

    def job(self, name: str) -> Document:
        """Return a FineTuneJob. Raises TuneloopExit if there is none."""
        return _named("FineTuneJob", name, self.jobs, where=self.where)


@dataclass(frozen=True, kw_only=True)
class Maker:
    """The job that made something on a claim."""

    name: str
    job: Document | None
    """None: it is deleted, or another one of this name took its place."""
    key: str
    """Tells it from other jobs, of the same name too."""


def key_of(job: Document) -> str:
    """Return what tells a job from all others: the name of its folder."""
    metadata = job["metadata"]
    return f"{metadata['name']}-{str(metadata.get('uid', ''))[:_UID_CHARACTERS]}"


def maker_of(uri: str, documents: Documents) -> Maker | None:
    """Return the job that wrote a folder: by the artifacts that jobs name, then by the job's folder in the URI, then by the artifact's manifest."""
    for name, job in documents.jobs.items():
        if at(job, "status.artifact.uri") == uri:
            return Maker(name=name, job=job, key=key_of(job))
    if found := _JOB_FOLDER.search(uri):
        key, there = f"{found['name']}-{found['uid']}", documents.jobs.get(found["name"])
        return Maker(name=found["name"], job=there if there and key_of(there) == key else None, key=key)
    manifest = documents.read_manifest(uri)
    return Maker(name=manifest.name, job=None, key=uri) if manifest else None


def is_of_a_job(uri: str) -> bool:
    """Whether a URI lies in the folder of a job."""
    return _JOB_FOLDER.search(uri) is not None


def _named(kind: str, name: str, objects: Mapping[str, Document], *, where: str) -> Document:
    if name in objects:
        return objects[name]
    near = "".join(f" (did you mean {match}?)" for match in get_close_matches(name, objects, n=1))
    raise TuneloopExit(Exit.FAILED, f"no {kind} {name!r} in {where}; there: {', '.join(objects) or 'none'}{near}")
