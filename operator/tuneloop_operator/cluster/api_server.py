"""ApiServer: the `Cluster` protocol on a real API server, and the other requests of the operator. Plain JSON in and out.

The typed models of the official client are not used: they take most of its memory and time. Its configuration and its connections are
used, through `transport`.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Self

from tuneloop_operator.cluster import readiness
from tuneloop_operator.cluster.connection import Connection, connection_of, read_configuration
from tuneloop_operator.cluster.events import events_of, failed_creates_of, mount_failure, newest_message
from tuneloop_operator.cluster.field_owners import FIELD_MANAGER, HANDOVER_MANAGER
from tuneloop_operator.cluster.resources import path_of, resource_of
from tuneloop_operator.cluster.token_reviews import PATH as REVIEWS
from tuneloop_operator.cluster.token_reviews import TokenIdentity, identity_of, review_manifest
from tuneloop_operator.cluster.translate import ListExpired
from tuneloop_operator.cluster.transport import Call, Request, Transport
from tuneloop_operator.errors import ClusterUnavailable, Conflict, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tuneloop_operator.cluster import Kind, Manifest

    Manifests = list[Manifest]  # inside the class, `list` is the protocol's method
    Names = list[str]

__all__ = ["ApiServer", "Call", "Connection", "TokenIdentity"]
_LOG = logging.getLogger(__name__)
_PAGE = 500
_MERGE_PATCH = "application/merge-patch+json"
_LIST_TRIES = 3
_UNFENCED = {"Lease"}
"""Kinds that an operator writes in order to lead."""


def always() -> bool:
    """Allow every write: for a client that takes part in no election."""
    return True


def ignore(_: Call) -> None:
    """Count nothing."""


class ApiServer:
    """The objects of a cluster. Every method may raise `ClusterUnavailable`, and `Refused` without the right.

    Every write but that of a Lease calls `may_write` right before it is sent. If the answer is False, the write raises `NotLeading`.
    """

    def __init__(self, transport: Transport, *, configuration: Any) -> None:
        self._transport = transport
        self._configuration = configuration

    @classmethod
    async def connect(
        cls,
        *,
        may_write: Callable[[], bool] = always,
        on_call: Callable[[Call], None] = ignore,
        request_timeout_seconds: float = 10.0,
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """Read the configuration: the pod's service account, else KUBECONFIG. No request is sent. Raises NoConfiguration.

        request_timeout_seconds: of reads; a write gets half of it.
        """
        configuration = await read_configuration(environ)
        transport = Transport(
            configuration,
            environ=environ,
            may_write=may_write,
            on_call=on_call,
            request_timeout_seconds=request_timeout_seconds,
        )
        return cls(transport, configuration=configuration)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    @property
    def connection(self) -> Connection:
        """How another client reaches the same API server. The token is that of the last request."""
        return connection_of(self._configuration)

    def now(self) -> datetime:
        """Return the API server's time, by its last answers; this machine's before the first one."""
        return self._transport.server_clock()

    async def get(self, *, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return the object as it is now, or None."""
        resource = resource_of(kind)
        request = Request(
            verb="get", resource=resource.plural, path=resource.object_path(namespace, name), urgent=kind in _UNFENCED
        )
        try:
            return _manifest(await self._transport.send(request))
        except NotFound:
            return None

    async def list(self, *, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Manifests:
        """Return the objects that carry all these labels. They are read in pages, all of one moment."""
        for _ in range(_LIST_TRIES):
            try:
                return await self._pages(kind, namespace=namespace, labels=labels)
            except ListExpired:
                _LOG.info("the list of %s in %s took too long and is read again", kind, namespace)
        raise ClusterUnavailable(f"the list of {kind} in {namespace} expired {_LIST_TRIES} times before its end")

    async def create(self, manifest: Manifest) -> Manifest:
        """Create the object; return it as stored. Raises `AlreadyExists`, `Refused`; `Conflict` while a quota is being counted."""
        path = resource_of(manifest["kind"]).collection(manifest["metadata"]["namespace"])
        try:
            return await self._write("create", manifest["kind"], path=path, body=manifest)
        except NotFound as error:  # the namespace
            raise Refused(str(error)) from error

    async def apply(self, manifest: Manifest) -> Manifest:
        """Create the object or set these fields in it. Fields of other owners stay; our fields are taken back. Raises `Refused`."""
        try:
            return await self._write(
                "patch",
                manifest["kind"],
                path=path_of(manifest),
                body=manifest,
                query={"force": "true"},
                content_type="application/apply-patch+yaml",
            )
        except NotFound as error:  # the namespace
            raise Refused(str(error)) from error

    async def scale(self, *, namespace: str, name: str, uid: str, replicas: int) -> Manifest | None:
        """Set the number of pods of a Deployment and nothing else; None if there is none with this uid. Raises `Refused`."""
        path = resource_of("Deployment").object_path(namespace, name)
        body = {"metadata": {"uid": uid}, "spec": {"replicas": replicas}}
        try:
            return await self._write("patch", "Deployment", path=path, body=body, content_type=_MERGE_PATCH)
        except NotFound:
            return None
        except Refused:  # another uid is refused with the words for any change of a field that never changes
            now = await self.get(kind="Deployment", namespace=namespace, name=name)
            if now is not None and now["metadata"]["uid"] == uid:
                raise
            return None

    async def keep_replicas(self, deployment: Manifest) -> None:
        """Let a Deployment keep its number of pods once an apply of ours names none: another field manager names it too.

        Nothing is forced: where an autoscaler has changed the number since it was read, this raises `Conflict`. Raises `Refused`.
        """
        names = {key: deployment["metadata"][key] for key in ("name", "namespace", "uid")}
        kind = {key: deployment[key] for key in ("apiVersion", "kind")}
        await self._write(
            "patch",
            "Deployment",
            path=path_of(deployment),
            body={**kind, "metadata": names, "spec": {"replicas": deployment["spec"]["replicas"]}},
            query={"fieldManager": HANDOVER_MANAGER},
            content_type="application/apply-patch+yaml",
        )

    async def delete(self, *, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete the object if it has this uid, its dependents in the background. An absent object is no error."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        resource = resource_of(kind)
        request = Request(
            verb="delete",
            resource=resource.plural,
            path=resource.object_path(namespace, name),
            body=options,
            fenced=kind not in _UNFENCED,
        )
        try:
            await self._transport.send(request)
        except NotFound:
            return
        except Conflict:  # the message for another uid differs between kinds
            found = await self.get(kind=kind, namespace=namespace, name=name)
            if found is not None and found["metadata"]["uid"] == uid:
                raise

    async def patch_status(self, manifest: Manifest, status: dict[str, Any]) -> Manifest:
        """Replace the status of the object. Raises `Conflict` if it changed since it was read, or is gone.

        It is a JSON patch, because `manifest` may be trimmed, and because a merge patch keeps fields that `status` no longer has.
        The old resourceVersion is set, not tested: the API server then compares it as in an update and answers 409. A failed `test` is
        answered with 422, as is a status that does not fit the schema.
        """
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": manifest["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        try:
            return await self._write(
                "patch",
                manifest["kind"],
                path=f"{path_of(manifest)}/status",
                body=patch,
                content_type="application/json-patch+json",
                subresource="/status",
            )
        except NotFound as error:
            raise Conflict(str(error)) from error

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replace the object except its status. Raises `Conflict` if it changed since it was read, or is gone."""
        try:
            return await self._write("update", manifest["kind"], path=path_of(manifest), body=manifest)
        except NotFound as error:
            raise Conflict(str(error)) from error

    async def review_token(self, token: str, *, audience: str) -> TokenIdentity | None:
        """Return who holds a token for this audience; None if the token is not valid."""
        review = review_manifest(token, audience=audience)
        answer = await self._transport.send(Request(verb="create", resource="tokenreviews", path=REVIEWS, body=review))
        return identity_of(answer, audience=audience)

    async def key_documents(self) -> tuple[Any, Any]:
        """Return the documents of OpenID discovery: the configuration, which names the issuer of tokens, and the JWK set with its keys."""
        configuration = Request(verb="get", resource="openid", path="/.well-known/openid-configuration")
        key_set = Request(verb="get", resource="openid", path="/openid/v1/jwks", accept="application/jwk-set+json")
        return await self._transport.send(configuration), await self._transport.send(key_set)

    async def refusal(self, *, namespace: str, job_uid: str) -> str:
        """Return the newest message of the API server about a pod of this Job that it refused to create; empty if there is none."""
        return newest_message(await self._events(namespace=namespace, selector=failed_creates_of(job_uid)))

    async def mount_failure(self, *, namespace: str, pod_uid: str) -> str:
        """Return the newest message of the kubelet about a volume of this pod that it cannot mount; empty if there is none."""
        return mount_failure(await self._events(namespace=namespace, selector=events_of(pod_uid)))

    async def _events(self, *, namespace: str, selector: str) -> Manifests:
        """Return Events. The API server searches all Events of the namespace, and deletes each after an hour."""
        resource = resource_of("Event")
        query = {"limit": str(_PAGE), "fieldSelector": selector}
        request = Request(verb="list", resource=resource.plural, path=resource.collection(namespace), query=query)
        try:
            found: Manifests = (await self._transport.send(request))["items"]
        except Refused as error:
            _LOG.warning("Events in %s cannot be read: %s", namespace, error)
            return []
        return found

    async def wait_until_ready(self) -> None:
        """Return once the API server answers. Ask again with growing waits, for as long as it takes."""
        await readiness.wait_until_ready(self._transport)

    async def missing_kinds(self) -> Names:
        """Return the kinds of ours whose CRDs are not installed."""
        return await readiness.missing_kinds(self._transport)

    async def _pages(self, kind: Kind, *, namespace: str, labels: Mapping[str, str]) -> Manifests:
        resource = resource_of(kind)
        query = {"limit": str(_PAGE)}
        if labels:
            query["labelSelector"] = ",".join(f"{name}={value}" for name, value in labels.items())
        found: Manifests = []
        while True:
            page = await self._transport.send(
                Request(verb="list", resource=resource.plural, path=resource.collection(namespace), query=query)
            )
            # the items of a list have neither kind nor apiVersion
            found += ({"apiVersion": resource.api_version, "kind": kind, **item} for item in page["items"])
            if not (token := page["metadata"].get("continue")):
                return found
            query["continue"] = token

    async def _write(
        self,
        verb: str,
        kind: str,
        *,
        path: str,
        body: Any,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        subresource: str = "",
    ) -> Manifest:
        request = Request(
            verb=verb,
            resource=resource_of(kind).plural + subresource,
            path=path,
            query={"fieldManager": FIELD_MANAGER, **(query or {})},
            body=body,
            content_type=content_type,
            fenced=kind not in _UNFENCED,
            urgent=kind in _UNFENCED,
        )
        return _manifest(await self._transport.send(request))


def _manifest(answer: Any) -> Manifest:
    """Return the answer as an object. Raises ClusterUnavailable if it is no object; a proxy may answer in its place."""
    if not isinstance(answer, dict) or "metadata" not in answer:
        raise ClusterUnavailable("the API server's answer is no object")
    return answer
