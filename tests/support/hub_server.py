"""A hub of our own on loopback, as far as a client that fetches a model asks: org/name (public, or for one token alone), org/gated, nothing else."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LATER_COMMIT = "fedcba9876543210fedcba9876543210fedcba98"
"""What the branch `moving` means from the second question on."""


class Hub(ThreadingHTTPServer):
    """Serves the files of a folder as the model org/name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)

    def begin(self, folder: Path) -> None:
        """Serve another folder, without trouble, and forget what was asked."""
        self.folder = folder
        self.asked: list[str] = []
        self.busy, self.cut_off = 0, 0
        """How many of the next answers are 503, and how many of the next weights break off in the middle."""
        self.refused: tuple[int, str] | None = None
        """Status and words (`X-Error-Message`) of the answer to every question; None: none is refused."""
        self.token = ""
        """The token that org/name asks for; empty: none."""
        self.slow_seconds = 0.0
        """How long the weights are on their way."""


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        self.answer()

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.answer()

    def answer(self) -> None:
        """Answer as the hub does, or as its trouble says."""
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.busy:
            self.server.busy -= 1
            self.say(b"{}", status=503)
            return
        if self.server.refused:
            status, words = self.server.refused
            self.say(b"{}", status=status, headers={"X-Error-Message": words})
            return
        if self.server.token and self.headers["Authorization"] != f"Bearer {self.server.token}":
            self.say(b"{}", status=401, headers={"X-Error-Code": "GatedRepo"})
            return
        match self.path.partition("?")[0].strip("/").split("/"):
            case [
                "api",
                "models",
                "org",
                "name",
                "revision",
                "v1" | "main" | "moving" | "0123456789abcdef0123456789abcdef01234567" as revision,
            ]:
                files = [{"rfilename": path.name} for path in sorted(self.server.folder.iterdir())]
                moved = revision == "moving" and sum("revision/moving" in asked for asked in self.server.asked) > 1
                found = {"id": "org/name", "sha": LATER_COMMIT if moved else COMMIT, "siblings": files}
                self.say(json.dumps(found).encode())
            case ["api", "models", "org", "name", "revision", _]:
                self.say(b"{}", status=404, headers={"X-Error-Code": "RevisionNotFound"})
            case ["api", "models", "org", "name", "tree", _]:
                entries = [
                    {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": oid(p)}
                    for p in self.server.folder.iterdir()
                ]
                self.say(json.dumps(entries).encode())
            case ["api", "models", "org", "gated", *_]:
                self.say(b"{}", status=403, headers={"X-Error-Code": "GatedRepo"})
            case ["org", "name", "resolve", _, name]:
                self.say_file(self.server.folder / name)
            case _:
                self.say(b"{}", status=404, headers={"X-Error-Code": "RepoNotFound"})

    def say_file(self, path: Path) -> None:
        """Send a file, the weights piece by piece."""
        body, headers = path.read_bytes(), {"ETag": f'"{oid(path)}"', "X-Repo-Commit": COMMIT}
        if path.suffix != ".safetensors" or self.command == "HEAD":
            self.say(body, headers=headers)
            return
        self.say(b"", headers=headers | {"Content-Length": str(len(body))})
        is_cut_off = self.server.cut_off > 0
        self.server.cut_off -= is_cut_off
        piece = max(1, len(body) // 10)
        for start in range(0, len(body) // (1 + is_cut_off), piece):
            self.wfile.write(body[start : start + piece])
            time.sleep(self.server.slow_seconds / 10)
        self.close_connection = is_cut_off

    def say(self, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


def oid(path: Path) -> str:
    """Return the name of a file's content, as the hub gives it."""
    return hashlib.sha1(path.read_bytes()).hexdigest()


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a hub; `begin` says what it serves."""
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
