"""Object storage of our own on loopback, as far as a client asks that reads, makes and deletes objects: S3 with its signatures, the XML of Google Cloud Storage, which is the
same, and Azure's lists and batches.

Addresses are `/BUCKET/KEY`, and `/ACCOUNT/CONTAINER/KEY` for Azure.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCESS_KEY, SECRET_KEY = "AKIAOFTHESTANDIN", "canary-secret-4f81d0"
ACCOUNT = "standin"
NO_OAUTH = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
"""A key of Google with which a client signs nothing, as the emulators of that storage want it."""
PAGE = 3
"""Objects on a page of a list: small, so that every list of a test has several."""
_DATE = "Mon, 30 Nov 2026 12:00:00 GMT"


class ObjectServer(ThreadingHTTPServer):
    """Serves objects from memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.begin()

    def begin(self, **objects: dict[str, bytes]) -> None:
        """Serve other buckets, without trouble, and forget what was asked. objects: by bucket and key."""
        self.buckets = objects
        self.asked: list[str] = []
        """Method, path and range of each request."""
        self.busy, self.cut_off, self.is_silent = 0, 0, False
        """How many of the next answers are 503, how many of the next contents break off in the middle, and whether there is no answer at all."""
        self.stalls = False
        """Whether contents stay on their way for ever."""
        self.knows_if_match = True
        """Whether a condition of a request counts."""
        self.refused = ""
        """Code of the error with which each request is refused; empty: none is."""
        self.is_signed = True
        """Whether requests need the signature of `SECRET_KEY`."""
        self.loses_answers = 0
        """How many of the next objects are kept, though their client never hears of it."""
        self.before_read: Callable[[], None] = lambda: None
        """Runs before the content of an object is read."""

    def handle_error(self, *_: object) -> None:
        """Print nothing of clients that end a connection, or trust no certificate."""

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def variables(self) -> dict[str, str]:
        """The variables with which a client of S3 finds this server and may read it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "eu-central-1",
        }

    @property
    def variables_of_all(self) -> dict[str, str]:
        """The variables for clients of S3, Google Cloud Storage and Azure."""
        return self.variables | {
            "GOOGLE_BASE_URL": self.url,
            "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(NO_OAUTH),
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": "Y2FuYXJ5LW9mLWF6dXJl",
            "AZURE_STORAGE_ENDPOINT": f"{self.url}/{ACCOUNT}",
        }


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    server: ObjectServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        self.answer()

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.answer()

    def do_PUT(self) -> None:
        """Keep an object."""
        self.answer()

    def do_POST(self) -> None:
        """Delete objects."""
        self.answer()

    def do_DELETE(self) -> None:
        """Delete an object."""
        self.answer()

    def answer(self) -> None:
        """Answer as the storage does, or as its trouble says."""
        server, url = self.server, urlsplit(self.path)
        self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.asked.append(f"{self.command} {url.path} {self.headers.get('Range', '')}".rstrip())
        while server.is_silent:
            time.sleep(0.05)
        if server.busy:
            server.busy -= 1
            self.say_error(503, "SlowDown")
        elif server.refused:
            self.say_error(403, server.refused)
        elif code := self.wrong_signature():
            self.say_error(403, code)
        else:
            self.say_what_is_there(unquote(url.path).lstrip("/"), dict(parse_qsl(url.query, keep_blank_values=True)))

    def say_what_is_there(self, path: str, query: dict[str, str]) -> None:
        """Answer a request that is allowed."""
        bucket, _, key = path.removeprefix(f"{ACCOUNT}/").partition("/")
        objects = self.server.buckets.get(bucket)
        if objects is None:
            self.say_error(404, "NoSuchBucket")
        elif self.command == "PUT":
            self.keep(objects, key)
        elif self.command == "DELETE":
            self.say_error(404, "NoSuchKey") if objects.pop(key, None) is None else self.say(b"", status=204)
        elif self.command == "POST":
            self.delete_many(objects, bucket)
        elif not key and query.get("comp") == "list":
            self.say_azure_list(objects, query)
        elif not key:
            self.say_list(objects, query)
        else:
            self.say_object(objects, key)

    def say_object(self, objects: dict[str, bytes], key: str) -> None:
        """Send an object, or a part of it, if it is still the one that was meant."""
        if self.command == "GET":
            self.server.before_read()
        if (content := objects.get(key)) is None:
            self.say_error(404, "NoSuchKey")
            return
        if self.server.knows_if_match and self.headers.get("If-Match") not in (None, etag(content)):
            self.say_error(412, "PreconditionFailed")
            return
        headers = {"ETag": etag(content), "Last-Modified": _DATE}
        if not (asked := self.headers.get("Range", self.headers.get("x-ms-range"))):
            self.say(content, headers=headers)
            return
        start, end = map(int, asked.removeprefix("bytes=").split("-"))
        part = content[start : end + 1]
        headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self.say(part, status=206, headers=headers)

    def keep(self, objects: dict[str, bytes], key: str) -> None:
        """Keep an object, unless it may only be made and is there."""
        is_new = (
            "*" in (self.headers.get("If-None-Match") or "") or self.headers.get("x-goog-if-generation-match") == "0"
        )
        if is_new and key in objects:
            is_azure = self.headers.get("x-ms-blob-type") is not None
            self.say_error(409 if is_azure else 412, "BlobAlreadyExists" if is_azure else "PreconditionFailed")
            return
        objects[key] = self.content
        if self.server.loses_answers:
            self.server.loses_answers -= 1
            self.close_connection = True
            return
        self.say(b"", status=201, headers={"ETag": etag(self.content), "Last-Modified": _DATE})

    def delete_many(self, objects: dict[str, bytes], bucket: str) -> None:
        """Delete what a batch of Azure or a list of S3 names, whether it is there or not."""
        if boundary := self.headers.get_boundary():
            for path in re.findall(rb"DELETE (\S+) HTTP", self.content):
                objects.pop(unquote(path.decode()).partition(f"/{bucket}/")[2], None)
            numbers = re.findall(rb"Content-ID: (\d+)", self.content)
            parts = (f"--{boundary}\r\nContent-ID: {int(n)}\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n\r\n" for n in numbers)
            body = f"{''.join(parts)}--{boundary}--\r\n".encode()
            self.say(body, status=202, headers={"Content-Type": f"multipart/mixed; boundary={boundary}"})
            return
        keys = re.findall(rb"<Key>([^<]+)</Key>", self.content)
        for key in keys:
            objects.pop(unescape(key.decode()), None)
        deleted = "".join(f"<Deleted><Key>{key.decode()}</Key></Deleted>" for key in keys)
        self.say(f"<DeleteResult>{deleted}</DeleteResult>".encode())

    def say_list(self, objects: dict[str, bytes], query: dict[str, str]) -> None:
        """Send a page of a list, as S3 does (ListObjectsV2)."""
        page, after = page_of(objects, query.get("prefix", ""), query.get("continuation-token", ""))
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key])}</Size><ETag>{escape(etag(objects[key]))}</ETag>"
            "<LastModified>2026-11-30T12:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        more = f"<NextContinuationToken>{escape(after)}</NextContinuationToken>" if after else ""
        truncated = str(bool(after)).lower()
        self.say(f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{items}{more}</ListBucketResult>".encode())

    def say_azure_list(self, objects: dict[str, bytes], query: dict[str, str]) -> None:
        """Send a page of a list, as Azure does (List Blobs)."""
        page, after = page_of(objects, query.get("prefix", ""), query.get("marker", ""))
        items = "".join(
            f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{_DATE}</Last-Modified><Content-Length>{len(objects[key])}</Content-Length>"
            f"<Content-Type>text/plain</Content-Type><Etag>{etag(objects[key])[1:-1]}</Etag></Properties></Blob>"
            for key in page
        )
        self.say(
            f"<EnumerationResults><Blobs>{items}</Blobs><NextMarker>{escape(after)}</NextMarker></EnumerationResults>".encode()
        )

    def wrong_signature(self) -> str:
        """Return why a request is not that of `ACCESS_KEY`, as S3 names it; empty: it is (AWS Signature Version 4)."""
        if not self.server.is_signed:
            return ""
        given = dict(
            part.strip().split("=", 1)
            for part in self.headers.get("Authorization", "").partition(" ")[2].split(",")
            if "=" in part
        )
        key, *scope = given.get("Credential", "").split("/")
        if key != ACCESS_KEY:
            return "InvalidAccessKeyId"
        url = urlsplit(self.path)
        query = "&".join(
            sorted(
                f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
                for name, value in parse_qsl(url.query, keep_blank_values=True)
            )
        )
        names = given["SignedHeaders"].split(";")
        headers = "".join(f"{name}:{self.headers[name].strip()}\n" for name in names)
        request = "\n".join(
            [self.command, url.path, query, headers, ";".join(names), self.headers["x-amz-content-sha256"]]
        )
        signed = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                self.headers["x-amz-date"],
                "/".join(scope),
                hashlib.sha256(request.encode()).hexdigest(),
            ]
        )
        secret = f"AWS4{SECRET_KEY}".encode()
        for part in (*scope, signed):
            secret = hmac.digest(secret, part.encode(), "sha256")
        return "" if hmac.compare_digest(secret.hex(), given["Signature"]) else "SignatureDoesNotMatch"

    def say_error(self, status: int, code: str) -> None:
        """Send an error as S3 writes it."""
        self.say(f"<Error><Code>{code}</Code><Message>of the stand-in</Message></Error>".encode(), status=status)

    def say(self, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send an answer; one that is to break off ends in the middle."""
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/xml",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        while self.server.stalls and status == 206:
            time.sleep(0.05)
        is_cut_off = self.server.cut_off > 0 and status == 206
        self.server.cut_off -= is_cut_off
        self.wfile.write(body[: len(body) // (1 + is_cut_off)])
        self.close_connection = is_cut_off

    def log_message(self, *args: object) -> None:
        """Log nothing."""


def etag(content: bytes) -> str:
    """Return what changes with the content."""
    return f'"{hashlib.md5(content).hexdigest()}"'


def page_of(objects: dict[str, bytes], prefix: str, after: str) -> tuple[list[str], str]:
    """Return the keys of a page, and the key after which the next page begins; empty: there is none."""
    keys = sorted(key for key in objects if key.startswith(prefix) and key > after)
    return keys[:PAGE], keys[PAGE - 1] if len(keys) > PAGE else ""


@contextmanager
def running_object_server() -> Iterator[ObjectServer]:
    """Run a server; `begin` says what it serves."""
    server = ObjectServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.is_silent = server.stalls = False
    server.shutdown()
    server.server_close()
