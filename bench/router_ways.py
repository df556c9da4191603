"""The ways to a model for bench/router.py: the model itself, HAProxy, an Envoy that only passes requests on, and the router.

Each way is a context manager that starts its processes, waits until requests go through, and ends them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "dev"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from free_ports import free_port
from router_process import settings_file

from tuneloop_router.binary import find_envoy
from tuneloop_router.envoy_config.typed import FILTERS, endpoints, tcp_address, typed

if TYPE_CHECKING:
    from collections.abc import Iterator

PROXY_CORE, CLIENT_CORE = "0", "1"
WEIGHTS = {"canary": 25, "stable": 75}

_HAPROXY = """
global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
"""
_MODEL = (
    _HAPROXY
    + """
frontend model
  bind 127.0.0.1:$port
  # a body that comes after its headers would end the connection
  http-request wait-for-body time 5s if METH_POST
  http-request return status 200 content-type application/json string '[[{"label":"positive","score":0.98},{"label":"negative","score":0.02}]]'
"""
)
_LINE = {
    "time": '"%[date,utime(%Y-%m-%dT%H:%M:%SZ)]"',
    "request_id": '"%[var(txn.id),json(utf8s)]"',
    "method": '"%HM"',
    "path": '"%[var(txn.path),json(utf8s)]"',
    "protocol": '"%HV"',
    "status": "%ST",
    "flags": '"%ts"',
    "revision": '"%s"',
    "upstream": '"%si:%sp"',
    "attempts": "%rc",
    "bytes_in": "%U",
    "bytes_out": "%B",
    "milliseconds": "%Ta",
    "first_byte_milliseconds": "%Tr",
}
"""The router's line, in HAProxy's words."""
_LOG_FORMAT = "{" + ",".join(f'"{name}":{value}' for name, value in _LINE.items()) + "}"
_PEER = (
    _HAPROXY
    + f"""
  log global
  log-format '{_LOG_FORMAT}'
  http-reuse always
  option redispatch
  retries 2
  retry-on conn-failure empty-response 503
frontend clients
  bind 127.0.0.1:$port
  option http-buffer-request
  unique-id-format %[uuid()]
  http-request set-header x-request-id %[unique-id] unless {{ req.hdr(x-request-id) -m found }}
  http-request set-var(txn.id) req.hdr(x-request-id)
  http-request set-var(txn.path) path
  http-request deny deny_status 413 if {{ req.hdr_val(content-length) gt 4194304 }}
  http-request deny deny_status 400 if {{ path_sub -i %2f %5c }}
  http-request set-header x-forwarded-for %[src]
  http-request del-header x-tuneloop-revision
  http-response del-header x-tuneloop-retry
  http-response set-header x-request-id %[var(txn.id)]
  http-response set-header x-tuneloop-revision %s
  default_backend revisions
backend revisions
  balance hdr(x-user)
  option httpchk GET /readyz
  server canary 127.0.0.1:$model weight {WEIGHTS["canary"]} check inter 1s
  server stable 127.0.0.1:$model weight {WEIGHTS["stable"]} check inter 1s
"""
)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A port that leads to the model, and the process on the way."""

    port: int
    pid: int | None


def ways(folder: Path) -> Iterator[tuple[str, contextlib.AbstractContextManager[Way]]]:
    """Yield each way by its name; the model must be entered before the others."""
    model = free_port()
    yield "direct", haproxy(CLIENT_CORE, Template(_MODEL), port=model, file=folder / "model.cfg", is_proxy=False)
    yield (
        "HAProxy",
        haproxy(PROXY_CORE, Template(_PEER), port=free_port(), file=folder / "peer.cfg", is_proxy=True, model=model),
    )
    yield "Envoy, bare", bare_envoy(folder / "bare.json", model)
    yield "router", router(folder / "router", model)


@contextlib.contextmanager
def haproxy(
    core: str, configuration: Template, *, port: int, file: Path, is_proxy: bool, **values: int
) -> Iterator[Way]:
    file.write_text(configuration.substitute(port=port, **values))
    with running(core, "haproxy", "-db", "-f", str(file)) as process:
        wait_for(port)
        yield Way(port=port, pid=process.pid if is_proxy else None)


@contextlib.contextmanager
def bare_envoy(file: Path, model: int) -> Iterator[Way]:
    """Envoy without what the router adds: what it costs to pass a request on to one of two clusters."""
    port = free_port()
    file.write_text(json.dumps(bare_configuration(port, model)))
    command = (find_envoy(None), "--config-path", str(file), "--disable-hot-restart", "--concurrency", "1")
    with running(PROXY_CORE, *command, "--log-level", "warning") as process:
        wait_for(port)
        yield Way(port=port, pid=process.pid)


def bare_configuration(port: int, model: int) -> dict[str, Any]:
    weights = [{"name": name, "weight": weight} for name, weight in WEIGHTS.items()]
    route = {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": weights}}}
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bare",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        generate_request_id=False,
        http_filters=[typed("envoy.filters.http.router", FILTERS + "router.v3.Router")],
    )
    address = tcp_address("127.0.0.1", model)
    return {
        "static_resources": {
            "listeners": [{"address": tcp_address("127.0.0.1", port), "filter_chains": [{"filters": [manager]}]}],
            "clusters": [{"name": name, "load_assignment": endpoints(name, address)} for name in WEIGHTS],
        }
    }


@contextlib.contextmanager
def router(folder: Path, model: int) -> Iterator[Way]:
    """A router of ours; its Envoy is the process that counts."""
    folder.mkdir()
    revisions = [
        {"name": name, "host": "127.0.0.1", "port": model, "weight": weight} for name, weight in WEIGHTS.items()
    ]
    sticky = {"header": "x-user", "salt": "rollout-1"}
    split = {"generation": 1, "deployment": "bench", "revisions": revisions, "sticky": sticky}
    path = settings_file(folder, split, deployment="bench", drainSeconds=1)
    settings = json.loads(path.read_text())
    with running(PROXY_CORE, sys.executable, "-m", "tuneloop_router", str(path)) as started:
        wait_for(settings["metricsPort"], path="/readyz")
        (envoy,) = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        yield Way(port=settings["port"], pid=int(envoy))


@contextlib.contextmanager
def running(core: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on one core."""
    process = subprocess.Popen(["taskset", "-c", core, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(port: int, *, path: str = "/", seconds: float = 30.0) -> None:
    """Wait until a server answers 200."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
