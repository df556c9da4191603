"""The operator's side of a router's long poll: a small TLS server that publishes splits, and knows what each poll reported."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from self_signed import write_certificate
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 20.0


def make_certificate(folder: Path, name: str) -> None:
    """Write NAME.crt and NAME.key: a certificate for `localhost` that is its own authority."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    write_certificate(certificate, key, common_name="localhost", alternative_names="DNS:localhost")


@dataclass
class SplitOperator:
    """Holds each poll until there is a generation beyond the one in force and the one that was refused."""

    token: str
    port: int = 0
    document: bytes = b""
    generation: int = 0
    reports: list[dict[str, str]] = field(default_factory=list)
    """What each poll said, the oldest first."""
    refused_polls: int = 0
    """Polls with another token."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    rounds: int = 0
    """How often all polls were answered at once, with nothing new."""

    @property
    def in_force(self) -> int:
        return int(self.reports[-1]["inForce"]) if self.reports else 0

    def publish(self, document: dict[str, Any] | bytes, *, generation: int | None = None) -> None:
        """Answer polls with this document from now on."""
        with self.changed:
            self.document = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.generation = json.loads(self.document)["generation"] if generation is None else generation
            self.changed.notify_all()

    def requests(self) -> dict[str, int]:
        """Let the router report now; return how many requests it says that each revision has answered."""
        known = len(self.reports)
        self.answer_all()
        # the poll that is answered now began before: the next one reports what is counted since
        until(lambda: len(self.reports) > known, seconds=SECONDS, what="the next report", pause=0.005)
        counts = (part.split(":") for part in self.reports[-1].get("requests", "").split(",") if part)
        return {revision: int(count) for revision, count in counts}

    def answer_all(self) -> None:
        """Answer the polls that are held, with nothing new."""
        with self.changed:
            self.rounds += 1
            self.changed.notify_all()

    def wait_until_in_force(self, generation: int) -> None:
        until(
            lambda: self.in_force == generation,
            seconds=SECONDS,
            what=f"generation {generation} is in force",
            pause=0.005,
        )

    def wait_for_refusal(self, generation: int) -> str:
        """Return the reason for which the router did not take a generation."""

        def reason() -> str:
            return next((r["reason"] for r in reversed(self.reports) if r.get("refused") == str(generation)), "")

        return until(reason, seconds=SECONDS, what=f"generation {generation} is refused")

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        if request.headers["authorization"] != f"Bearer {self.token}":
            self.refused_polls += 1
            request.send_error(401)
            return
        report = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        beyond = max(int(report["inForce"]), int(report.get("refused", 0)))
        with self.changed:
            self.reports.append(report)
            rounds = self.rounds
            self.changed.wait_for(lambda: self.generation > beyond or self.rounds > rounds, float(report["hold"]))
            newer = self.generation > beyond
            body = self.document if newer else b""
        request.send_response(200 if newer else 304)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@contextmanager
def split_operator(
    certificates: Path, *, token: str, certificate: str = "own", port: int = 0
) -> Iterator[SplitOperator]:
    """Serve on a port of this machine."""
    operator = SplitOperator(token)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            operator.answer(self)

        def log_message(self, *_: object) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{certificate}.crt", certificates / f"{certificate}.key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.handle_error = lambda *_: None  # a client that does not trust the certificate goes away
        server.socket = context.wrap_socket(server.socket, server_side=True)
        operator.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield operator
        finally:
            server.shutdown()
            thread.join()


def following(folder: Path, operator: SplitOperator, certificates: Path, **changes: str) -> dict[str, str]:
    """Return the settings of a router that follows this operator."""
    return {
        "url": f"https://localhost:{operator.port}/v1/routers/team/reviews",
        "caPath": str(certificates / "own.crt"),
        "tokenPath": str(folder / "token"),
    } | changes
