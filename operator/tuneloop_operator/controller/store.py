"""What the operator knows of the cluster: trimmed objects from events, live reads and the replies to its own writes.

Nothing here ever goes back: an older resourceVersion, or an object whose deletion was seen, changes nothing.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from tuneloop_operator.names import DEPLOYMENT_LABEL, JOB_LABEL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_operator.cluster import Kind, Manifest

_LABELS = (JOB_LABEL, DEPLOYMENT_LABEL)
_SOURCE = "fineTuneJobRef"
"""What a ModelDeployment refers to is found like a label."""
_REMEMBERED_DELETIONS = 20_000
_LONGEST_SHARED = 100
"""Characters; what is longer is hardly ever the same twice."""
FIRST_ASKED = "firstAsked"
"""In a stored pod's metadata: the fields of its deletion when that was first asked for. A later request, such as the kubelet's last one, replaces them."""
_DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds")
_STAGE_ORDER = {"prepare": 0, "train": 1, "export": 2}
ObjectKey = tuple[str, str, str]
"""Kind, namespace, name."""


class Store:
    """Objects by name and by owner; the newest progress message of each job."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, Manifest] = {}
        self._by_kind: dict[str, dict[ObjectKey, None]] = {}
        self._by_label: dict[tuple[str, str, str], dict[ObjectKey, None]] = {}
        self._deleted: OrderedDict[str, Manifest] = OrderedDict()
        """The last version of deleted objects, by uid: what is older was told late."""
        self._terminated_pods: dict[str, list[Manifest]] = {}
        """By the uid of a Job: pods of it that are gone, and had said why. It is there, or it is the last one of its FineTuneJob that is gone."""
        self._last_gone: dict[tuple[str, str], str] = {}
        """By namespace and name of a FineTuneJob: the uid of that last Job. Its pods may outlive it by their grace period."""
        self._progress: dict[str, ProgressMessage] = {}

    def put(self, manifest: Manifest) -> bool:
        """Remember this version of an object; return whether it is newer than what was known."""
        key = key_of(manifest)
        known = self._objects.get(key) or self._deleted.get(manifest["metadata"].get("uid", ""))
        if known is not None and not _is_newer(manifest, known):
            return False
        manifest = trimmed(_with_first_asked(manifest, self._objects.get(key)))
        if key in self._objects:
            self._drop(key)
        self._objects[key] = manifest
        self._by_kind.setdefault(key[0], {})[key] = None
        for name in _label_keys(manifest):
            self._by_label.setdefault(name, {})[key] = None
        return True

    def remove(self, manifest: Manifest) -> bool:
        """Forget a deleted object for good; return whether it was known. A later object of the same name is another one."""
        key, uid = key_of(manifest), manifest["metadata"].get("uid")
        if uid is not None:
            self._deleted[uid] = _versioned(manifest["metadata"].get("resourceVersion"))
            self._progress.pop(uid, None)
            while len(self._deleted) > _REMEMBERED_DELETIONS:
                self._deleted.popitem(last=False)
        known = self._objects.get(key)
        if known is None or (uid is not None and known["metadata"].get("uid") != uid):
            return False
        self._drop(key)
        if manifest["kind"] == "FineTuneJob":
            self._terminated_pods.pop(self._last_gone.pop(key[1:], ""), None)
        if manifest["kind"] == "Job" and uid is not None:
            self._remember_last_gone(known, uid)
        if manifest["kind"] == "Pod" and (job := self._job_of(manifest)) and _has_said_why(manifest):
            self._terminated_pods.setdefault(job, []).append(trimmed(_with_first_asked(manifest, known)))
        return True

    def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest | None:
        """Return the newest known version of an object."""
        return self._objects.get((kind, namespace, name))

    def labelled(self, label: str, value: str, *, namespace: str, kind: Kind | None = None) -> Iterator[Manifest]:
        """Yield the objects of a namespace that carry this label; `label` is that of a job or of a deployment."""
        for key in self._by_label.get((label, namespace, value), ()):
            if kind is None or key[0] == kind:
                yield self._objects[key]

    def terminated_pods(self, job_uid: str) -> Iterator[Manifest]:
        """Yield the last versions of a Job's pods that are gone, and had ended or were about to be taken away: only they know why."""
        yield from self._terminated_pods.get(job_uid, ())

    def serving(self, job: str, *, namespace: str) -> Iterator[Manifest]:
        """Yield the ModelDeployments that take their model from this FineTuneJob."""
        for key in self._by_label.get((_SOURCE, namespace, job), ()):
            yield self._objects[key]

    def of_kind(self, kind: Kind, *, namespace: str | None) -> Iterator[Manifest]:
        """Yield the objects of a kind in a namespace; in all of them if that is None."""
        for key in self._by_kind.get(kind, ()):
            if namespace in {None, key[1]}:
                yield self._objects[key]

    def gone(self, kind: Kind, *, namespace: str | None, listed: Collection[str], version: str) -> list[Manifest]:
        """Return what is known and does not exist any more, each as it was when the list was taken.

        `listed` are the uids of a whole list of this kind, `version` is the list's resourceVersion. What is known in a newer
        version came after the list.
        """
        return [
            manifest | {"metadata": manifest["metadata"] | {"resourceVersion": version}}
            for manifest in self.of_kind(kind, namespace=namespace)
            if manifest["metadata"].get("uid") not in listed and not _is_newer(manifest, _versioned(version))
        ]

    def replace(self, before: Iterable[Manifest], now: Iterable[Manifest]) -> None:
        """Take over a live list. `before` is what was known when it was asked for: what came since is not in it, and stays."""
        listed = list(now)
        uids = {manifest["metadata"].get("uid") for manifest in listed}
        for manifest in list(before):
            if manifest["metadata"].get("uid") not in uids:
                self.remove(manifest)
        for manifest in listed:
            self.put(manifest)

    def put_progress(self, uid: str, message: ProgressMessage) -> bool:
        """Remember what a job's stage said; return whether it is newer than what was known."""
        known = self._progress.get(uid)
        if known is not None and not _is_later(message, known):
            return False
        self._progress[uid] = message
        return True

    def progress(self, uid: str) -> ProgressMessage | None:
        """Return the newest message of a job."""
        return self._progress.get(uid)

    def _job_of(self, pod: Manifest) -> str | None:
        """Return the uid of a pod's Job, if that is still there, or the last one that is gone."""
        owners = pod["metadata"].get("ownerReferences") or ()
        owner = next((one for one in owners if one["kind"] == "Job"), None)
        job = owner and self._objects.get(("Job", pod["metadata"]["namespace"], owner["name"]))
        is_there = bool(owner and job and job["metadata"].get("uid") == owner["uid"])
        of = pod["metadata"]["namespace"], (pod["metadata"].get("labels") or {}).get(JOB_LABEL, "")
        return owner["uid"] if owner and (is_there or self._last_gone.get(of) == owner["uid"]) else None

    def _remember_last_gone(self, job: Manifest, uid: str) -> None:
        """Let a Job that is gone take the place of the one before it, as long as its FineTuneJob is there."""
        of = job["metadata"]["namespace"], (job["metadata"].get("labels") or {}).get(JOB_LABEL, "")
        self._terminated_pods.pop(self._last_gone.pop(of, ""), None)
        if ("FineTuneJob", *of) in self._objects:
            self._last_gone[of] = uid
        else:
            self._terminated_pods.pop(uid, None)

    def _drop(self, key: ObjectKey) -> None:
        self._by_kind[key[0]].pop(key)
        for name in _label_keys(self._objects.pop(key)):
            self._by_label[name].pop(key, None)
            if not self._by_label[name]:
                del self._by_label[name]


def key_of(manifest: Manifest) -> ObjectKey:
    """Return kind, namespace and name."""
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def trimmed(manifest: Manifest) -> Manifest:
    """Return the object without what no decision looks at: thousands of pods must fit into memory."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    kept = {**manifest, "metadata": metadata}
    if manifest["kind"] == "ConfigMap":
        kept.pop("data", None)
    if manifest["kind"] == "Job" and "spec" in manifest:
        kept["spec"] = {key: value for key, value in manifest["spec"].items() if key != "template"}
    if manifest["kind"] == "Pod":
        kept["spec"] = {"nodeName": manifest.get("spec", {}).get("nodeName")}
    return cast("Manifest", _shared(kept))


def _shared(value: Any) -> Any:
    """Return a copy whose names and short texts are held once for all objects: each event brings them anew, and they are most of it."""
    if isinstance(value, dict):
        return {_once(key): _shared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shared(item) for item in value]
    return _once(value)


def _once(value: Any) -> Any:
    return sys.intern(value) if type(value) is str and len(value) <= _LONGEST_SHARED else value


def _with_first_asked(manifest: Manifest, known: Manifest | None) -> Manifest:
    """Return a pod that remembers when its deletion was asked for first."""
    before = known["metadata"] if known else {}
    if (
        manifest["kind"] != "Pod"
        or "deletionTimestamp" not in before
        or before.get("uid") != manifest["metadata"].get("uid")
    ):
        return manifest
    first = before.get(FIRST_ASKED) or {name: before[name] for name in _DELETION if name in before}
    return manifest | {"metadata": manifest["metadata"] | {FIRST_ASKED: first}}


def _has_said_why(pod: Manifest) -> bool:
    """Whether a pod has ended, or tells that it is about to be taken away."""
    status = pod.get("status") or {}
    states = [container.get("state") or {} for container in status.get("containerStatuses") or ()]
    disrupted = any(one["type"] == "DisruptionTarget" for one in status.get("conditions") or ())
    return disrupted or status.get("phase") == "Failed" or any("terminated" in state for state in states)


def _label_keys(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    namespace = cast("str", manifest["metadata"]["namespace"])
    labels = manifest["metadata"].get("labels") or {}
    for label in _LABELS:
        if label in labels:
            yield label, namespace, labels[label]
    if manifest["kind"] == "ModelDeployment" and (source := (manifest["spec"].get("model") or {}).get(_SOURCE)):
        yield _SOURCE, namespace, source["name"]


def _versioned(version: str) -> Manifest:
    return {"metadata": {"resourceVersion": version}}


def _is_newer(manifest: Manifest, known: Manifest) -> bool:
    """Whether to take over a version. Where resourceVersions are no numbers, they say nothing about order: the last one wins."""
    new, old = (_version(one) for one in (manifest, known))
    return new is None or old is None or new > old


def _version(manifest: Manifest) -> int | None:
    version: Any = manifest["metadata"].get("resourceVersion")
    return int(version) if isinstance(version, str) and version.isdecimal() else None


def _is_later(message: ProgressMessage, known: ProgressMessage) -> bool:
    """Whether a message is newer: by stage, attempt and sequence. A stage that runs anew counts from the start again, but later."""
    new, old = ((_STAGE_ORDER[one.stage], one.attempt) for one in (message, known))
    if new != old:
        return new > old
    return message.sequence > known.sequence or _sent(message) > _sent(known)


def _sent(message: ProgressMessage) -> datetime:
    return datetime.fromisoformat(message.sent_at)
