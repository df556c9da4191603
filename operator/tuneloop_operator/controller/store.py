"""What the operator knows of the cluster: trimmed objects from events, live reads and the replies to its own writes.

The store never goes back: an older resourceVersion, or an object whose deletion is known, changes nothing.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

from tuneloop_operator.cluster.owners import owner_uid
from tuneloop_operator.controller.comparisons import Comparisons
from tuneloop_operator.controller.progress_order import is_later
from tuneloop_operator.controller.query_answers import QueryAnswers
from tuneloop_operator.controller.router_reports import RouterReports
from tuneloop_operator.controller.terminated_pods import TerminatedPods, shows_why
from tuneloop_operator.controller.trim import with_first_deletion
from tuneloop_operator.controller.working_runs import WorkingRuns
from tuneloop_operator.metrics.rollout_outcomes import RolloutOutcomes
from tuneloop_operator.names import is_comparator

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_operator.cluster import Kind, Manifest
    from tuneloop_operator.controller.router_reports import News
    from tuneloop_operator.controller.trim import Trim
    from tuneloop_operator.state.gate_inputs import ComparatorReply
    from tuneloop_operator.state.router_report import RouterReport

_REMEMBERED_DELETIONS = 20_000
_LONGEST_SHARED = 100
"""Characters; longer texts hardly ever repeat."""
ObjectKey = tuple[str, str, str]
"""Kind, namespace, name."""


class Store:
    """Objects by name, label and reference; the newest progress message of each job; what routers report; pods that are gone."""

    def __init__(
        self,
        *,
        child_labels: Mapping[str, Kind],
        references: Callable[[Manifest], Iterable[tuple[Kind, str]]],
        trims: Mapping[str, Trim],
    ) -> None:
        """The store is made by `controllers.new_store`.

        child_labels: kind of the owner by the label that its children carry. references: kind and name of the objects that an object
        refers to. trims: what is left out, by kind.
        """
        self._child_labels = child_labels
        self._references = references
        self._trims = trims
        self._objects: dict[ObjectKey, Manifest] = {}
        self._by_kind: dict[str, dict[ObjectKey, None]] = {}
        self._by_label: dict[tuple[str, str, str], dict[ObjectKey, None]] = {}
        self._by_reference: dict[ObjectKey, dict[ObjectKey, None]] = {}
        self._deleted: OrderedDict[str, Manifest] = OrderedDict()
        """The last version of deleted objects, by uid: an event with an older version came late."""
        self._terminated_pods = TerminatedPods()
        self._progress: dict[str, ProgressMessage] = {}
        self._router_reports = RouterReports()
        self.query_answers = QueryAnswers()
        """What Prometheus answered to the queries of gates, by uid of the deployment."""
        self.rollout_outcomes = RolloutOutcomes()
        self.working_runs = WorkingRuns()
        self._comparisons = Comparisons()
        self._listeners: list[Callable[[Manifest], None]] = []

    def listen(self, on_change: Callable[[Manifest], None]) -> None:
        """Call on_change with each object that is stored in a newer version, or was stored and is forgotten. It must not wait or raise."""
        self._listeners.append(on_change)

    def put(self, manifest: Manifest) -> bool:
        """Store this version of an object; return whether it is newer than the stored one."""
        key = key_of(manifest)
        known = self._objects.get(key) or self._deleted.get(manifest["metadata"].get("uid", ""))
        if known is not None and not _is_newer(manifest, known):
            return False
        replaced = self._objects.get(key)
        manifest = self._trimmed(manifest, known=replaced)
        if replaced is not None:
            self.rollout_outcomes.changed(replaced, manifest)
            self._drop(key)
        self._objects[key] = manifest
        self.working_runs.changed(manifest)
        self._by_kind.setdefault(key[0], {})[key] = None
        for index, entry in self._entries(manifest):
            index.setdefault(entry, {})[key] = None
        self._report_change(manifest)
        return True

    def remove(self, manifest: Manifest) -> bool:
        """Forget a deleted object for good; return whether it was known. A later object of the same name is another object."""
        key, uid = key_of(manifest), manifest["metadata"].get("uid")
        if uid is not None:
            self._deleted[uid] = _versioned(manifest["metadata"].get("resourceVersion"))
            self._progress.pop(uid, None)
            memories = (
                self._router_reports,
                self.query_answers,
                self._comparisons,
                self.rollout_outcomes,
                self.working_runs,
            )
            for memory in memories:
                memory.forget(uid)
            while len(self._deleted) > _REMEMBERED_DELETIONS:
                self._deleted.popitem(last=False)
        known = self._objects.get(key)
        if known is None or (uid is not None and known["metadata"].get("uid") != uid):
            return False
        self._drop(key)
        self._terminated_pods.owner_gone(key)
        if manifest["kind"] == "Job" and uid is not None:
            owner = self.owner_key(known)
            self._terminated_pods.job_gone(uid, owner=owner if owner in self._objects else None)
        if manifest["kind"] == "Pod":
            self._keep_end(manifest, known=known)
        if manifest["kind"] == "Deployment" and is_comparator(known):
            self._comparisons.forget(owner_uid(known) or "")
        self._report_change(known)
        return True

    def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest | None:
        """Return the newest known version of an object."""
        return self._objects.get((kind, namespace, name))

    def labelled(self, label: str, value: str, *, namespace: str, kind: Kind | None = None) -> Iterator[Manifest]:
        """Yield the objects of a namespace with this label; `label` is one of the child labels."""
        for key in self._by_label.get((label, namespace, value), ()):
            if kind is None or key[0] == kind:
                yield self._objects[key]

    def terminated_pods(self, job_uid: str) -> Iterator[Manifest]:
        """Yield the last versions of a Job's pods that are gone and showed why they ended."""
        yield from self._terminated_pods.of(job_uid)

    def referring(self, kind: Kind, name: str, *, namespace: str) -> Iterator[Manifest]:
        """Yield the objects that refer to this one, such as the ModelDeployments that serve the model of a FineTuneJob."""
        for key in self._by_reference.get((kind, namespace, name), ()):
            yield self._objects[key]

    def of_kind(self, kind: Kind, *, namespace: str | None) -> Iterator[Manifest]:
        """Yield the objects of a kind in a namespace; None: in all namespaces."""
        for key in self._by_kind.get(kind, ()):
            if namespace in {None, key[1]}:
                yield self._objects[key]

    def gone(self, kind: Kind, *, namespace: str | None, listed: Collection[str], version: str) -> list[Manifest]:
        """Return the stored objects that no longer exist, each in the version of the list.

        listed: the uids of a whole list of this kind. version: the list's resourceVersion; an object that is stored in a newer version was
        created after the list.
        """
        return [
            manifest | {"metadata": manifest["metadata"] | {"resourceVersion": version}}
            for manifest in self.of_kind(kind, namespace=namespace)
            if manifest["metadata"].get("uid") not in listed and not _is_newer(manifest, _versioned(version))
        ]

    def replace(self, before: Iterable[Manifest], now: Iterable[Manifest]) -> None:
        """Take over a live list. before: what was stored when the list was requested; objects that were stored since then stay."""
        listed = list(now)
        uids = {manifest["metadata"].get("uid") for manifest in listed}
        for manifest in list(before):
            if manifest["metadata"].get("uid") not in uids:
                self.remove(manifest)
        for manifest in listed:
            self.put(manifest)

    def put_progress(self, uid: str, message: ProgressMessage) -> bool:
        """Store a progress message of a job; return whether it is newer than the stored one."""
        known = self._progress.get(uid)
        if known is not None and not is_later(message, known):
            return False
        self._progress[uid] = message
        return True

    def progress(self, uid: str) -> ProgressMessage | None:
        """Return the newest progress message of a job."""
        return self._progress.get(uid)

    def put_router_report(self, uid: str, report: RouterReport) -> News:
        """Store what a router of a deployment reports; return what is new."""
        return self._router_reports.put(uid, report)

    def router_reports(self, uid: str) -> tuple[RouterReport, ...]:
        """Return the newest report of each router of a deployment, also of some that are gone; in the order of their names."""
        return self._router_reports.of(uid)

    def put_comparison(self, uid: str, reply: ComparatorReply) -> bool:
        """Store what the comparator of a deployment says; return whether it says anything new."""
        return self._comparisons.put(uid, reply)

    def comparison(self, uid: str) -> ComparatorReply | None:
        """Return what the comparator of a deployment last said; None: nothing yet."""
        return self._comparisons.of(uid)

    def forget_comparisons(self) -> None:
        """Forget what all comparators said."""
        self._comparisons.forget_all()

    def owner_key(self, manifest: Manifest) -> ObjectKey | None:
        """Return the key of the object of ours whose child label this object carries; None if it carries none."""
        labels = manifest["metadata"].get("labels") or {}
        found = ((kind, labels[label]) for label, kind in self._child_labels.items() if label in labels)
        kind, name = next(found, (None, None))
        return (kind, manifest["metadata"]["namespace"], name) if kind and name else None

    def _keep_end(self, pod: Manifest, *, known: Manifest) -> None:
        """Keep the last version of a pod if it shows why the pod ended, and nothing that it reported as a router."""
        if (job_uid := self._job_uid_of(pod)) and shows_why(pod):
            self._terminated_pods.add(self._trimmed(pod, known=known), job_uid=job_uid)
        owner = self.owner_key(known)
        if owner in self._objects:
            self._router_reports.forget_router(self._objects[owner]["metadata"]["uid"], pod["metadata"]["name"])

    def _job_uid_of(self, pod: Manifest) -> str | None:
        """Return the uid of a pod's Job if the Job exists, or is the last Job of its owner that is gone."""
        owners = pod["metadata"].get("ownerReferences") or ()
        reference = next((owner for owner in owners if owner["kind"] == "Job"), None)
        if reference is None:
            return None
        uid: str = reference["uid"]
        job = self._objects.get(("Job", pod["metadata"]["namespace"], reference["name"]))
        exists = job is not None and job["metadata"].get("uid") == uid
        return uid if exists or self._terminated_pods.is_last_job(uid, owner=self.owner_key(pod)) else None

    def _report_change(self, manifest: Manifest) -> None:
        for on_change in self._listeners:
            on_change(manifest)

    def _trimmed(self, manifest: Manifest, *, known: Manifest | None) -> Manifest:
        return trimmed(with_first_deletion(manifest, known), trims=self._trims)

    def _entries(self, manifest: Manifest) -> Iterator[tuple[dict[Any, dict[ObjectKey, None]], Any]]:
        """Yield each index and the entry in it under which an object is found."""
        namespace = manifest["metadata"]["namespace"]
        labels = manifest["metadata"].get("labels") or {}
        for label in self._child_labels:
            if label in labels:
                yield self._by_label, (label, namespace, labels[label])
        for kind, name in dict.fromkeys(self._references(manifest)):
            yield self._by_reference, (kind, namespace, name)

    def _drop(self, key: ObjectKey) -> None:
        self._by_kind[key[0]].pop(key)
        for index, entry in self._entries(self._objects.pop(key)):
            index[entry].pop(key, None)
            if not index[entry]:
                del index[entry]


def key_of(manifest: Manifest) -> ObjectKey:
    """Return kind, namespace and name."""
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def trimmed(manifest: Manifest, *, trims: Mapping[str, Trim]) -> Manifest:
    """Return the object without managed fields and without what its kind's trim leaves out."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    kept = {**manifest, "metadata": metadata}
    trim = trims.get(manifest["kind"])
    return cast("Manifest", _shared(trim(kept) if trim else kept))


def _shared(value: Any) -> Any:
    """Return a copy that shares names and short texts with all other objects. They are most of an object, and every event brings new ones."""
    if isinstance(value, dict):
        return {_interned(key): _shared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shared(item) for item in value]
    return _interned(value)


def _interned(value: Any) -> Any:
    return sys.intern(value) if type(value) is str and len(value) <= _LONGEST_SHARED else value


def _versioned(version: str) -> Manifest:
    return {"metadata": {"resourceVersion": version}}


def _is_newer(manifest: Manifest, known: Manifest) -> bool:
    """Whether to take over a version. resourceVersions that are no numbers have no order: then the version that came last is taken."""
    new, old = _version(manifest), _version(known)
    return new is None or old is None or new > old


def _version(manifest: Manifest) -> int | None:
    version: Any = manifest["metadata"].get("resourceVersion")
    return int(version) if isinstance(version, str) and version.isdecimal() else None
