"""The door to a bucket: finds, lists, reads, creates and deletes objects. Each call has a time limit. Nothing else imports obstore.

obstore reads credentials, region and endpoint from the environment, and so the proxy (HTTPS_PROXY, NO_PROXY) and the authorities (SSL_CERT_FILE).
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from tuneloop_api.contract.redaction import redact
from tuneloop_api.objects.credentials import credentials_hint, endpoint_of, has_credentials
from tuneloop_api.objects.refusals import Refusal, refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneloop_api.wire.uris import ObjectPath

LOG = logging.getLogger(__name__)
WAITS_SECONDS = (2.0, 4.0, 8.0, 16.0)
"""Times between two tries, where the next try may succeed: as for the hub."""
ALL_TRIES = len(WAITS_SECONDS) + 1
FEW_TRIES = 2
"""For a command that somebody waits for."""
_CONNECT = timedelta(seconds=5)
_ANSWER = timedelta(seconds=10)
"""For an answer without content: about one object, or a page of a list."""
_PIECE = timedelta(seconds=120)
"""For a piece of an object, or a whole one that is made: 8 MiB at 70 kB/s."""
_PAGE = 1000
"""Objects of a list that are looked at at a time."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RemoteObject:
    """An object as the storage lists it."""

    path: str
    """Its whole name in the bucket."""
    size: int
    """Bytes."""
    etag: str | None
    """What changes with its content."""
    version: str | None
    """Its version, where the bucket keeps versions."""


class StorageRefusedError(Exception):
    """Object storage did not give what was asked for, after all tries."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.what)
        self.refusal = refusal


class ObjectChangedError(Exception):
    """An object is gone, or has another content than when it was listed."""


class Storage:
    """One bucket, with the credentials of this process' environment. Calls that may pass are made again, `tries` times at most."""

    def __init__(self, place: ObjectPath, *, tries: int = ALL_TRIES) -> None:
        """Raises StorageRefusedError without credentials, or where obstore is not installed."""
        if not has_credentials(place.scheme, os.environ):
            raise StorageRefusedError(Refusal(what="no credentials were found", hint=credentials_hint(place.scheme)))
        try:
            endpoint = endpoint_of(place.scheme, os.environ)
        except ValueError as error:
            raise StorageRefusedError(Refusal(what=str(error))) from None
        self._is_plain_http = endpoint is not None and endpoint.startswith("http://")
        self._place, self._tries, self._obstore = place, tries, _obstore()
        self._asking, self._reading = self._opened(_ANSWER), self._opened(_PIECE)

    def find(self, path: str) -> RemoteObject | None:
        """Return the object of this name; None if there is none. Raises StorageRefusedError."""

        def ask() -> RemoteObject | None:
            try:
                return _object(self._obstore.head(self._asking, path))
            except FileNotFoundError:
                return None
            except self._obstore.exceptions.PermissionDeniedError:
                self._obstore.get(self._asking, path)  # refused, too, and with a reason, for which HEAD has no room
                raise

        return self._persistently(ask)

    def below(self, path: str, *, most: int) -> list[RemoteObject]:
        """Return the objects below a name, at most `most + 1`, in the order of their names. Raises StorageRefusedError."""

        def ask() -> list[RemoteObject]:
            found: list[RemoteObject] = []
            for page in self._obstore.list(self._asking, path, chunk_size=_PAGE):
                found += map(_object, page)
                if len(found) > most:
                    break
            return sorted(found[: most + 1], key=lambda item: item.path)

        return self._persistently(ask)

    def read(self, found: RemoteObject, *, start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end` of an object as it was listed. Raises ObjectChangedError or StorageRefusedError."""

        def ask() -> bytes:
            options = {"range": (start, end)} | ({"if_match": found.etag} if found.etag else {})
            try:
                answer = self._obstore.get(self._reading, found.path, options=options)
            except (FileNotFoundError, self._obstore.exceptions.PreconditionError) as error:
                raise ObjectChangedError(found.path) from error
            if answer.meta["size"] != found.size:  # of a storage that does not know If-Match
                raise ObjectChangedError(found.path)
            return bytes(answer.bytes())

        return self._persistently(ask)

    def create(self, path: str, content: bytes) -> None:
        """Make an object with this content, whole or not at all. An object of this name stays as it is: names are of one content alone. Raises StorageRefusedError."""

        def ask() -> None:
            try:
                self._obstore.put(self._reading, path, content, mode="create", use_multipart=False)
            except self._obstore.exceptions.AlreadyExistsError:
                LOG.info("%s: %s is there already", self._place.uri, path)

        self._persistently(ask, writes=True)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; those that are gone are no error. Raises StorageRefusedError."""

        def ask() -> None:
            try:
                self._obstore.delete(self._asking, paths)
            except FileNotFoundError:  # with Google the others are not deleted then
                for path in paths:
                    with suppress(FileNotFoundError):
                        self._obstore.delete(self._asking, path)

        self._persistently(ask, writes=True)

    def _persistently(self, ask: Callable[[], T], *, writes: bool = False) -> T:
        for wait in (*WAITS_SECONDS[: self._tries - 1], None):
            try:
                return ask()
            except (self._obstore.exceptions.BaseError, FileNotFoundError, ValueError) as error:
                refusal = refusal_of(error, self._place, writes=writes)
                refusal = Refusal(what=redact(refusal.what, os.environ), hint=refusal.hint, may_pass=refusal.may_pass)
                if wait is None or not refusal.may_pass:
                    raise StorageRefusedError(refusal) from None
                LOG.warning("%s: %s; it is tried again in %.0f s", self._place.uri, refusal.what, wait)
            time.sleep(wait)
        raise AssertionError("unreachable")

    def _opened(self, limit: timedelta) -> Any:
        options: dict[str, Any] = {"timeout": limit, "connect_timeout": _CONNECT, "allow_http": self._is_plain_http}
        classes = {"s3://": "S3Store", "gs://": "GCSStore", "az://": "AzureStore"}
        store = getattr(self._obstore.store, classes[self._place.scheme])
        try:
            return store(self._place.bucket, client_options=options, retry_config={"max_retries": 0})
        except (self._obstore.exceptions.BaseError, ValueError) as error:
            raise StorageRefusedError(refusal_of(error, self._place)) from None


def _obstore() -> Any:
    try:
        import obstore  # noqa: PLC0415  (needed for object storage alone)
        import obstore.exceptions  # noqa: PLC0415
        import obstore.store  # noqa: PLC0415
    except ImportError as error:
        refusal = Refusal(
            what="object storage cannot be reached from here: the package obstore is not installed",
            hint="use the images of this release, or install tuneloop[trainer] and tuneloop[server]",
        )
        raise StorageRefusedError(refusal) from error
    return obstore


def _object(found: Any) -> RemoteObject:
    etag = found["e_tag"]
    if etag and '"' not in etag:  # in lists of Azure
        etag = f'"{etag}"'
    return RemoteObject(path=found["path"], size=found["size"], etag=etag, version=found["version"])
