"""Sessions of a LocalNode in processes of their own, which a test may kill, and what they have stored."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import waiting
from fork_server import Fork, Preloaded, fork
from local_node import SECONDS

from tuneloop_cli.local.cluster.object_files import ObjectFiles


def until(condition, what: str):
    return waiting.until(condition, seconds=SECONDS, what=what)


def start(folder: Path, *manifests, writes=0) -> Fork:
    """Start a session in a process of its own. With `writes`, it kills itself after that many writes."""
    preloaded = Preloaded(("tuneloop_cli.local.node",), os.pathsep.join(filter(None, sys.path)), shows_command=True)
    words = ("node_process", str(folder), json.dumps(manifests), str(writes))
    log_of(folder).write_text("")
    return fork(preloaded, *words, log=log_of(folder))


def log_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


@contextmanager
def running_session(folder, *manifests):
    """A session in a process of its own that is ready; it is killed at the end."""
    process = start(folder, *manifests)
    try:
        until(lambda: "ready\n" in log_of(folder).read_text() or process.poll() is not None, "a session that is ready")
        assert process.poll() is None, log_of(folder).read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def stored(folder, kind="Pod"):
    return ObjectFiles(folder).read_all(kind)


def running(folder):
    return [pod["metadata"]["uid"] for pod in stored(folder) if pod["status"]["phase"] == "Running"]


def all_running(folder, *, pods):
    """Return the uids of the running pods once there are `pods` of them."""
    return until(lambda: len(uids := running(folder)) == pods and uids, f"{pods} pods that run")
