"""Progress is posted in the background: the newest wins, and nobody waits for a dead operator."""

from __future__ import annotations

import json
import logging
import queue
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from run_configs import run_config

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_api.contract.run_config import ProgressEndpoint, RunConfig
from tuneloop_api.wire.model import changed
from tuneloop_trainer.report import TIMEOUT_SECONDS, Reporter


class Operator(ThreadingHTTPServer):
    """A real HTTP server that keeps what is posted; it answers as `replies` says, then 204."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: queue.Queue[tuple[str, ProgressMessage]] = queue.Queue()
        self.replies: list[int] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def next(self) -> tuple[str, ProgressMessage]:
        return self.received.get(timeout=10)


class Handler(BaseHTTPRequestHandler):
    server: Operator

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.put((self.headers["Authorization"], ProgressMessage.from_wire(json.loads(body))))
        self.server.may_answer.wait(10)
        self.send_response(self.server.replies.pop(0) if self.server.replies else 204)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.received.put(("redirected", None))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def operator() -> Iterator[Operator]:
    server = Operator()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.may_answer.set()
    server.shutdown()
    server.server_close()


def config_for(tmp_path: Path, url: str, *, ca: Path | None = None) -> RunConfig:
    (tmp_path / "token").write_text("first\n")
    endpoint = ProgressEndpoint(url=url, token_path=str(tmp_path / "token"), ca_path=None if ca is None else str(ca))
    return changed(run_config(tmp_path, stage="train", attempt=3), progress=endpoint)


def address(operator: Operator, scheme: str = "http") -> str:
    return f"{scheme}://localhost:{operator.server_port}/progress"


def test_a_message_carries_stage_attempt_sequence_time_and_the_token_of_that_moment(tmp_path, operator):
    reporter = Reporter(config_for(tmp_path, address(operator)))
    reporter.post(step=1, loss=0.5)
    token, message = operator.next()
    assert (token, message.stage, message.attempt, message.sequence, message.step, message.loss) == (
        "Bearer first", "train", 3, 1, 1, 0.5,
    )  # fmt: skip
    assert message.sent_at.endswith("Z")
    (tmp_path / "token").write_text("rotated")
    reporter.post(step=2)
    token, message = operator.next()
    assert (token, message.sequence, message.step) == ("Bearer rotated", 2, 2)
    reporter.close()


def test_the_newest_message_wins_while_the_operator_is_slow(tmp_path, operator):
    operator.may_answer.clear()
    reporter = Reporter(config_for(tmp_path, address(operator)))
    reporter.post(step=1)
    assert operator.next()[1].step == 1
    for step in range(2, 100):
        reporter.post(step=step)
    operator.may_answer.set()
    assert operator.next()[1].step == 99
    reporter.close()
    assert operator.received.empty()


def test_the_last_message_is_sent_at_close(tmp_path, operator):
    reporter = Reporter(config_for(tmp_path, address(operator)))
    reporter.post(step=1)
    operator.next()
    reporter.post(step=2)
    reporter.close()
    assert operator.received.get_nowait()[1].step == 2


def test_nobody_waits_for_an_operator_that_does_not_answer(tmp_path, operator):
    operator.may_answer.clear()
    reporter = Reporter(config_for(tmp_path, address(operator)))
    begun = time.monotonic()
    for step in range(1000):
        reporter.post(step=step)
    reporter.close()
    assert time.monotonic() - begun < TIMEOUT_SECONDS  # one post alone would wait for so long


def test_an_unreachable_operator_is_logged_once_and_so_is_its_return(tmp_path, operator, caplog):
    caplog.set_level(logging.WARNING)
    operator.replies = [500, 403, 307]
    reporter = Reporter(config_for(tmp_path, address(operator)))
    for step in range(1, 5):
        reporter.post(step=step)
        assert operator.next()[1].step == step
    reporter.close()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert "cannot be posted" in warnings[0]
    assert "again" in warnings[1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_that_the_token_stays_here(tmp_path, operator, status):
    operator.replies = [status]
    reporter = Reporter(config_for(tmp_path, address(operator)))
    reporter.post(step=1)
    assert operator.next()[1].step == 1
    reporter.close()
    assert operator.received.empty()


@pytest.mark.parametrize("fields", [{"loss": float("nan")}, {"no_such_field": 1}, {"step": "two"}])
def test_a_message_that_cannot_be_written_harms_nobody(tmp_path, operator, fields):
    reporter = Reporter(config_for(tmp_path, address(operator)))
    reporter.post(**fields)
    reporter.close()
    assert operator.received.empty()


@pytest.mark.parametrize("missing", ["operator", "token"])
def test_nothing_is_raised_where_operator_or_token_are_missing(tmp_path, missing):
    config = config_for(tmp_path, "http://127.0.0.1:9/progress")
    if missing == "token":
        (tmp_path / "token").unlink()
    reporter = Reporter(config)
    reporter.post(step=1)
    reporter.close()


def test_without_an_endpoint_no_thread_is_started(tmp_path):
    before = threading.active_count()
    reporter = Reporter(run_config(tmp_path))
    reporter.post(step=1)
    assert threading.active_count() == before
    reporter.close()


@pytest.fixture
def certificates(tmp_path) -> Path:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    for name in ("own", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{name}.key", "-out", f"{name}.crt")  # fmt: skip
    return tmp_path


@pytest.mark.parametrize(("authority", "trusted"), [("own", True), ("other", False)])
def test_only_the_given_authority_is_trusted(tmp_path, operator, certificates, authority, trusted):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "own.crt", certificates / "own.key")
    operator.socket = context.wrap_socket(operator.socket, server_side=True)
    reporter = Reporter(config_for(tmp_path, address(operator, "https"), ca=certificates / f"{authority}.crt"))
    reporter.post(step=1)
    reporter.close()
    assert (not operator.received.empty()) == trusted
