"""Builds the tree from a revision, a job or an artifact back to its origins. Pure: documents in, nodes out.

Of a job that is deleted there is what its artifact's manifest says. A job that comes from itself, by way of others, is named once more and not followed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.lineage.documents import is_of_a_job, key_of, maker_of
from tuneloop_cli.lineage.retraining import retraining_facts
from tuneloop_cli.views.values import at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_cli.lineage.documents import Document, Documents, Maker

Facts: TypeAlias = dict[str, Any]
_SPLITS = ("train", "validation", "test")
_MODEL_FOLDER = "/model"
"""Of an artifact: what another job fine-tunes further."""
NO_MANIFEST = "its manifest.json cannot be read from here"
FOLLOWED = "followed above"
GONE = "not here any more"
IN_MANIFEST = f"{GONE}: the manifest of its artifact says this much"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One origin."""

    kind: str
    """ModelDeployment, Revision, Adapter, Artifact, FineTuneJob, BaseModel, Checkpoint, Data or Source."""
    name: str
    facts: Facts
    """By camelCase names; None: not recorded."""
    notes: tuple[str, ...] = ()
    origins: tuple[Node, ...] = ()


def of_deployment(name: str, revision: str | None, documents: Documents) -> Node:
    """Return the tree of the revisions of a ModelDeployment, or of one. Raises TuneloopExit if there is none."""
    deployment = documents.deployment(name)
    served = _revisions(deployment)
    if revision is not None and revision not in served:
        raise TuneloopExit(
            Exit.FAILED, f"{name} has no revision {revision!r}; there: {', '.join(served) or 'none is served yet'}"
        )
    chosen = [found for found in served.values() if revision in {None, found["revision"]}]
    origins = [_of_revision(found, documents) for found in chosen]
    origins += _of_adapters(deployment, documents)
    return Node(kind="ModelDeployment", name=name, facts={}, origins=tuple(origins))


def of_job(name: str, documents: Documents) -> Node:
    """Return the tree of a FineTuneJob. Raises TuneloopExit if there is none."""
    return _of_job(documents.job(name), documents, followed=frozenset())


def of_artifact(
    uri: str, documents: Documents, *, digest: str | None = None, followed: frozenset[str] = frozenset()
) -> Node:
    """Return the tree of an artifact.

    digest: of its manifest, as who serves the artifact says. followed: keys of the jobs on the way here.
    """
    manifest, maker = documents.read_manifest(uri), maker_of(uri, documents)
    known = digest or (at(maker.job, "status.artifact.digest") if maker and maker.job else None)
    found = manifest.digest() if manifest else None
    notes = [] if manifest else [NO_MANIFEST]
    if known and found and known != found:
        notes.append(f"its manifest.json has another digest: {found}")
    origins = (_of_maker(maker, uri, documents, followed),) if maker else ()
    return Node(kind="Artifact", name=uri, facts={"digest": known or found}, notes=tuple(notes), origins=origins)


def _revisions(deployment: Document) -> dict[str, Document]:
    """Return what the status says of each revision, by its hash, with its role."""
    found: dict[str, Document] = {}
    for role in ("stable", "canary"):
        if revision := at(deployment, f"status.{role}"):
            found.setdefault(revision["revision"], revision | {"role": role})
    for revision in at(deployment, "status.revisions") or ():
        found.setdefault(revision["revision"], revision | {"role": "earlier"})
    return found


def _of_revision(revision: Document, documents: Documents) -> Node:
    artifact = of_artifact(revision["uri"], documents, digest=revision["digest"])
    return Node(kind="Revision", name=revision["revision"], facts={"role": revision["role"]}, origins=(artifact,))


def _of_adapters(deployment: Document, documents: Documents) -> Iterator[Node]:
    """Yield the adapters of the spec. The status does not say which version of them a revision has."""
    for adapter in at(deployment, "spec.adapters") or ():
        if uri := adapter.get("uri"):
            origin = of_artifact(uri, documents)
        else:
            name = adapter["fineTuneJobRef"]["name"]
            job = documents.jobs.get(name)
            origin = _of_job(job, documents, followed=frozenset()) if job else _gone(name)
        yield Node(kind="Adapter", name=adapter["name"], facts={}, origins=(origin,))


def _of_maker(maker: Maker, uri: str, documents: Documents, followed: frozenset[str]) -> Node:
    if maker.key in followed:
        return Node(kind="FineTuneJob", name=maker.name, facts={}, notes=(FOLLOWED,))
    if maker.job is not None:
        return _of_job(maker.job, documents, followed=followed)
    manifest = documents.read_manifest(uri)
    if manifest is None:
        return _gone(maker.name)
    lineage = manifest.lineage
    base = _of_base(manifest.base_model, lineage.get("modelRevision"), documents, followed | {maker.key})
    facts = {
        "imageDigest": None,
        "configHash": lineage.get("configHash"),
        "tuneloopVersion": lineage.get("tuneloopVersion"),
        "parentJob": _parent(base),
    }
    data = Node(kind="Data", name=_data_name(maker.name), facts={"digest": lineage.get("dataDigest"), "rows": None})
    return Node(kind="FineTuneJob", name=maker.name, facts=facts, notes=(IN_MANIFEST,), origins=(base, data))


def _gone(name: str) -> Node:
    return Node(kind="FineTuneJob", name=name, facts={}, notes=(GONE,))


def _of_job(job: Document, documents: Documents, *, followed: frozenset[str]) -> Node:
    followed |= {key_of(job)}
    uri = at(job, "status.resolved.baseModel.uri") or at(job, "spec.model.uri")
    base = _of_base(uri, at(job, "status.lineage.modelRevision"), documents, followed)
    resumed = list(_of_checkpoint(at(job, "spec.checkpoint.resumeFrom"), documents, followed))
    artifact = at(job, "status.artifact.uri")
    manifest = documents.read_manifest(artifact) if artifact else None
    facts = {
        "phase": at(job, "status.phase"),
        "imageDigest": at(job, "status.lineage.imageDigest"),
        "configHash": at(job, "status.lineage.configHash"),
        "tuneloopVersion": manifest.lineage.get("tuneloopVersion") if manifest else None,
        "parentJob": _parent(base, *resumed),
    }
    facts |= retraining_facts(job, documents.deployments.values())
    origins = (base, *resumed, _of_data(job, documents))
    return Node(kind="FineTuneJob", name=job["metadata"]["name"], facts=facts, origins=origins)


def _of_base(uri: str, revision: str | None, documents: Documents, followed: frozenset[str]) -> Node:
    folder = uri.removesuffix(_MODEL_FOLDER)
    is_artifact = uri.endswith(_MODEL_FOLDER) and (is_of_a_job(uri) or documents.read_manifest(folder) is not None)
    origins = (of_artifact(folder, documents, followed=followed),) if is_artifact else ()
    return Node(kind="BaseModel", name=uri, facts={"revision": revision}, origins=origins)


def _of_checkpoint(uri: str | None, documents: Documents, followed: frozenset[str]) -> Iterator[Node]:
    if uri is None:
        return
    maker = maker_of(uri, documents)
    origins = (_of_maker(maker, uri, documents, followed),) if maker else ()
    yield Node(kind="Checkpoint", name=uri, facts={}, origins=origins)


def _of_data(job: Document, documents: Documents) -> Node:
    data = at(job, "status.data") or {}
    report = documents.read_report(data["report"]) if data.get("report") else None
    found = _sources_of(report or {})
    sources = [
        Node(kind="Source", name=source["uri"], facts=_source_facts(source, split, found.get((split, source["uri"]))))
        for split in _SPLITS
        for source in at(job, f"spec.data.{split}") or ()
    ]
    digest = data.get("digest") or at(job, "status.lineage.dataDigest")
    counts = {f"{name}Rows": count for name, count in (data.get("splits") or {}).items()}
    facts = {"digest": digest, "rows": data.get("rows"), **counts}
    return Node(kind="Data", name=_data_name(job["metadata"]["name"]), facts=facts, origins=tuple(sources))


def _data_name(job: str) -> str:
    return f"prepared by {job}"


def _sources_of(report: Document) -> dict[tuple[str, str], Document]:
    """Return the sources of a data report by use and URI, of those that are named once: two splits of one folder cannot be told apart."""
    sources = report.get("sources") or ()
    named = Counter((source["for"], source["uri"]) for source in sources)
    return {key: source for source in sources if named[key := (source["for"], source["uri"])] == 1}


def _source_facts(source: Document, split: str, found: Document | None) -> Facts:
    """Return the facts of a source. found: its entry in the data report; what lay in a bucket has a digest there."""
    shown: Facts = {name: source[name] for name in ("split", "limit", "cutoff", "window") if name in source}
    digest: Facts = {"digest": objects["digest"]} if found and (objects := found.get("objects")) else {}
    return {"usedFor": split, "rows": found["usable"] if found else None, **digest, **shown}


def _parent(*nodes: Node) -> str:
    """Return the name of the nearest job below nodes; `none` if there is none."""
    for node in nodes:
        if node.kind == "FineTuneJob":
            return node.name
        if (found := _parent(*node.origins)) != "none":
            return found
    return "none"
