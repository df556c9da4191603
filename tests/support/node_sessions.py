"""Sessions of a LocalNode in processes of their own, which a test may kill, and what they have stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import node_process
import waiting
from local_node import SECONDS

from tuneloop_cli.local.cluster.object_files import ObjectFiles


def until(condition, what: str):
    return waiting.until(condition, seconds=SECONDS, what=what)


def start(folder, *manifests, writes=0):
    """Start a session in a process of its own. With `writes`, it kills itself after that many writes."""
    return subprocess.Popen(
        [sys.executable, node_process.__file__, str(folder), json.dumps(manifests), str(writes)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running_session(folder, *manifests):
    """A session in a process of its own that is ready; it is killed at the end."""
    process = start(folder, *manifests)
    try:
        line = process.stdout.readline()
        assert line == "ready\n", process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()


def stored(folder, kind="Pod"):
    return ObjectFiles(folder).read_all(kind)


def running(folder):
    return [pod["metadata"]["uid"] for pod in stored(folder) if pod["status"]["phase"] == "Running"]


def all_running(folder, *, pods):
    """Return the uids of the running pods once there are `pods` of them."""
    return until(lambda: len(uids := running(folder)) == pods and uids, f"{pods} pods that run")
