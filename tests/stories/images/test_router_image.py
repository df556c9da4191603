"""The image of routers holds Envoy and the standard library, and carries requests as uid 1000 on a root that it cannot write."""

from __future__ import annotations

import pytest
from images import archive, container, targets
from supply_chain import pins

LIMIT_MB = 250
ROUND = """
import http.server, json, pathlib, signal, subprocess, sys, threading, time, urllib.request

class Model(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_): ...

model = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()
revision = {"name": "reviews-03ab", "host": "127.0.0.1", "port": model.server_address[1], "weight": 100}
pathlib.Path("/tmp/split.json").write_text(json.dumps({"generation": 1, "deployment": "reviews", "revisions": [revision]}))
settings = {"deployment": "reviews", "folder": "/tmp/run", "splitPath": "/tmp/split.json", "host": "127.0.0.1",
            "port": 8080, "metricsPort": 8081, "quietSeconds": 0}
pathlib.Path("/tmp/router.json").write_text(json.dumps(settings))
router = subprocess.Popen([sys.executable, "-m", "tuneloop_router", "/tmp/router.json"], stdout=sys.stderr)
deadline = time.monotonic() + 60
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1:8081/readyz")
        answer = urllib.request.urlopen("http://127.0.0.1:8080/")
        break
    except OSError:
        assert time.monotonic() < deadline and router.poll() is None, "the router does not answer"
        time.sleep(0.1)
print(answer.read().decode(), answer.headers["x-tuneloop-revision"])
router.send_signal(signal.SIGTERM)
print("ended with", router.wait(60))
"""
"""Runs in the image: a model, a router before it, one request, and the end."""


@pytest.fixture(scope="session")
def contents(router_image: targets.Built) -> archive.Archive:
    return archive.read(router_image.archive)


def python(image: targets.Built, code: str) -> str:
    ended = container.run(image, ["python", "-c", code])
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_it_adds_envoy_to_its_base_and_little_more(router_image, contents):
    added = contents.bytes_over(archive.read(router_image.base_archive)) / 1e6
    print(f"the router's image: {added:.0f} MB over its base")
    assert added <= LIMIT_MB


def test_it_carries_a_request_and_ends_when_it_is_asked_to(router_image):
    assert python(router_image, ROUND).splitlines() == ["ok reviews-03ab", "ended with 0"]


def test_it_holds_what_its_lock_has_and_nothing_else(router_image):
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    installed = {pins.normalized(line) for line in python(router_image, code).splitlines()}
    locked = {pins.normalized(f"{pin.name}=={pin.version}") for pin in pins.read_lock("router").values()}
    assert {line for line in installed if not line.startswith("tuneloop==")} == locked


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("User", "1000:1000", id="a user by number"),
        pytest.param("Entrypoint", ["python", "-m", "tuneloop_router"], id="no shell in between"),
        pytest.param("StopSignal", "SIGTERM", id="the signal at which it drains"),
    ],
)
def test_it_starts_with(field, value, contents):
    assert contents.config[field] == value


def test_without_settings_it_ends_with_a_sentence(router_image):
    ended = container.run(router_image, ["python", "-m", "tuneloop_router", "/etc/tuneloop/router.json"])
    assert (ended.returncode, "cannot be read" in ended.stderr, "Traceback" in ended.stderr) == (2, True, False)


def test_nothing_can_be_written_but_scratch_space(router_image):
    written = [container.run(router_image, ["touch", path]).returncode for path in ("/opt/venv/x", "/etc/x", "/tmp/x")]
    assert written == [1, 1, 0]
