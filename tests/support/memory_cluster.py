"""`MemoryCluster`: the API server of the operator's unit tests, with uids, resource versions and watch events. The one fake of it."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import TYPE_CHECKING, Any

from tuneloop_operator.errors import AlreadyExists, ClusterUnavailable, Conflict, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tuneloop_operator.cluster.token_reviews import TokenIdentity

Manifest = dict[str, Any]


def copied(manifest: Any) -> Any:
    """Return a copy as the wire makes it. Four times as fast as `copy.deepcopy`."""
    return json.loads(json.dumps(manifest))


class MemoryCluster:
    """Implements all protocols of the API server that the operator has, on a dictionary; every write is reported to the watchers."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.objects: dict[tuple[str, str, str], Manifest] = {}
        self.watchers: list[Callable[[str, Manifest], None]] = []
        self.writes: list[tuple[str, str, str]] = []
        """Verb, kind, name of each write of the operator."""
        self.reads = 0
        self.fail_write: int | None = None
        """Number of the write (from 0) whose answer is lost."""
        self.refuse: dict[str, str] = {}
        """Message by kind of what may not be created."""
        self.refused_phases: set[str] = set()
        """Phases of a status that the schema does not allow."""
        self.pods_take_their_time = False
        self.statuses_take_their_time = False
        """Whether other tasks get a turn before a status is written."""
        self.refused_pods: dict[str, str] = {}
        self.failed_mounts: dict[str, str] = {}
        """Message by the uid of a Job whose pods may not be created."""
        self.is_up = True
        """Whether requests get an answer."""
        self.tokens: dict[str, TokenIdentity] = {}
        """Who holds each good token."""
        self.reviewed: list[str] = []
        """The audience of each review of a token."""
        self.most_reviews_at_once = 0
        self.events: list[tuple[str, str, str]] = []
        """Uid, reason and message of each Kubernetes Event."""
        self._event_names: set[str] = set()
        """Of those that have a name of their own."""
        self._reviews_now = 0
        self._replica_owners: dict[str, set[tuple[str, str]]] = {}
        """Field managers of the number of pods, by the uid of a Deployment; absent: the operator's applies alone."""
        self._clock = clock
        self._numbers = count(1)

    async def get(self, *, kind: str, namespace: str, name: str) -> Manifest | None:
        self._answer()
        self.reads += 1
        found = copied(self.objects.get((kind, namespace, name)))
        if found is not None and kind == "Deployment":
            found["metadata"]["managedFields"] = [
                {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
                for manager, operation in self._owners(found)
            ]
        return found

    async def list(self, *, kind: str, namespace: str, labels: Manifest) -> list[Manifest]:
        self._answer()
        self.reads += 1
        return [
            copied(stored)
            for (its_kind, its_namespace, _), stored in self.objects.items()
            if (its_kind, its_namespace) == (kind, namespace)
            and labels.items() <= stored["metadata"].get("labels", {}).items()
        ]

    async def create(self, manifest: Manifest) -> Manifest:
        self._answer()
        if message := self.refuse.get(manifest["kind"]):
            raise Refused(message)
        if manifest["kind"] == "Event":
            return self._reported(manifest)
        if self._key(manifest) in self.objects:
            raise AlreadyExists(manifest["metadata"]["name"])
        return self._wrote("create", self.add(manifest))

    async def apply(self, manifest: Manifest) -> Manifest:
        self._answer()
        if self._key(manifest) not in self.objects:
            return self._wrote("apply", self.add(manifest))
        stored = self.objects[self._key(manifest)]
        stored["metadata"] |= {
            "labels": manifest["metadata"]["labels"],
            "annotations": manifest["metadata"].get("annotations", {}),
        }
        fields = {field: manifest[field] for field in ("spec", "data") if field in manifest}
        if stored["kind"] == "Deployment":
            fields["spec"] = self._with_replicas(stored, fields["spec"])
        return self._wrote("apply", self.change(stored, **fields))

    async def replace(self, manifest: Manifest) -> Manifest:
        self._answer()
        self._require_version(manifest)
        return self._wrote("replace", self.change(manifest, spec=manifest["spec"]))

    async def scale(self, *, namespace: str, name: str, uid: str, replicas: int) -> Manifest | None:
        self._answer()
        found = self.objects.get(("Deployment", namespace, name))
        if found is None or found["metadata"]["uid"] != uid:
            return None
        self._replica_owners[uid] = {("tuneloop", "Update")}
        return self._wrote("scale", self.change(found, spec=found["spec"] | {"replicas": replicas}))

    async def keep_replicas(self, deployment: Manifest) -> None:
        self._answer()
        self._owners(deployment).add(("tuneloop-handover", "Apply"))
        self._wrote("keep_replicas", deployment)

    def autoscale(self, name: str, replicas: int, *, namespace: str = "team-a") -> None:
        """Set the number of pods of a Deployment, as an autoscaler does."""
        found = self.objects["Deployment", namespace, name]
        self._replica_owners[found["metadata"]["uid"]] = {("kube-controller-manager", "Update")}
        self.change(found, spec=found["spec"] | {"replicas": replicas})

    async def delete(self, *, kind: str, namespace: str, name: str, uid: str) -> None:
        self._answer()
        found = self.objects.get((kind, namespace, name))
        if found is not None and found["metadata"]["uid"] == uid:
            self.remove(found)
            self._wrote("delete", found)

    async def refusal(self, *, namespace: str, job_uid: str) -> str:
        self._answer()
        self.reads += 1
        return self.refused_pods.get(job_uid, "")

    async def mount_failure(self, *, namespace: str, pod_uid: str) -> str:
        self._answer()
        self.reads += 1
        return self.failed_mounts.get(pod_uid, "")

    async def patch_status(self, manifest: Manifest, status: Manifest) -> Manifest:
        self._answer()
        if self.statuses_take_their_time:
            await asyncio.sleep(0)
        if status.get("phase") in self.refused_phases:
            raise Refused(f"status.phase: Unsupported value: {status['phase']}")
        self._require_version(manifest)
        return self._wrote("patch_status", self.change(manifest, status=status))

    async def review_token(self, token: str, *, audience: str) -> TokenIdentity | None:
        self._answer()
        self.reviewed.append(audience)
        self._reviews_now += 1
        self.most_reviews_at_once = max(self.most_reviews_at_once, self._reviews_now)
        await asyncio.sleep(0)
        self._reviews_now -= 1
        return self.tokens.get(token)

    def add(self, manifest: Manifest) -> Manifest:
        """Store a new object, as if anybody had created it."""
        stored = copied(manifest)
        number = next(self._numbers)
        stored["metadata"] |= {
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "generation": 1,
            "creationTimestamp": self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.objects[self._key(stored)] = stored
        return self._notify("ADDED", stored)

    def change(self, manifest: Manifest, **fields: Any) -> Manifest:
        """Replace fields of a stored object, as if anybody had changed it."""
        stored = copied(self.objects[self._key(manifest)])
        stored |= copied(fields)
        stored["metadata"]["resourceVersion"] = str(next(self._numbers))
        stored["metadata"]["generation"] += "spec" in fields
        self.objects[self._key(stored)] = stored
        return self._notify("MODIFIED", stored)

    def remove(self, manifest: Manifest) -> None:
        """Remove an object and what it owns; its pods later, where they take their time."""
        gone = self.objects.pop(self._key(manifest))
        gone["metadata"]["resourceVersion"] = str(next(self._numbers))
        self._notify("DELETED", gone)
        uid = gone["metadata"]["uid"]
        for other in list(self.objects.values()):
            is_owned = any(owner["uid"] == uid for owner in other["metadata"].get("ownerReferences", ()))
            if is_owned and not (other["kind"] == "Pod" and self.pods_take_their_time):
                self.remove(other)

    def of_kind(self, kind: str) -> dict[str, Manifest]:
        """Return the objects of a kind by name."""
        return {name: stored for (its_kind, _, name), stored in self.objects.items() if its_kind == kind}

    def _answer(self) -> None:
        if not self.is_up:
            raise ClusterUnavailable("down")

    def _reported(self, event: Manifest) -> Manifest:
        name: str | None = event["metadata"].get("name")
        if name in self._event_names:
            raise AlreadyExists(name)
        self._event_names |= {name} if name else set()
        self._wrote("create", event | {"metadata": event["metadata"] | {"name": event["regarding"]["name"]}})
        self.events.append((event["regarding"]["uid"], event["reason"], event["note"]))
        return event

    def _owners(self, deployment: Manifest) -> set[tuple[str, str]]:
        return self._replica_owners.setdefault(deployment["metadata"]["uid"], {("tuneloop", "Apply")})

    def _with_replicas(self, stored: Manifest, spec: Manifest) -> Manifest:
        """Return the applied spec of a Deployment with its number of pods, and note who owns the number then."""
        owners = self._owners(stored)
        if "replicas" not in spec:
            owners.discard(("tuneloop", "Apply"))
            return spec | {"replicas": stored["spec"]["replicas"] if owners else 1}  # the API server's default
        if spec["replicas"] != stored["spec"]["replicas"]:
            owners.clear()
        owners.add(("tuneloop", "Apply"))
        return spec

    def _require_version(self, manifest: Manifest) -> None:
        stored = self.objects.get(self._key(manifest))
        if stored is None or stored["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise Conflict(manifest["metadata"]["name"])

    def _notify(self, type_: str, manifest: Manifest) -> Manifest:
        for watcher in self.watchers:
            watcher(type_, copied(manifest))
        return copied(manifest)

    def _wrote(self, verb: str, manifest: Manifest) -> Manifest:
        self.writes.append((verb, manifest["kind"], manifest["metadata"]["name"]))
        if self.fail_write == len(self.writes) - 1:
            raise ClusterUnavailable("the answer was lost")
        return manifest

    @staticmethod
    def _key(manifest: Manifest) -> tuple[str, str, str]:
        return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]
