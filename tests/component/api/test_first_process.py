"""A container's first process ends on SIGTERM from its first moment on; the kernel alone would not do that to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SPARED = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what the kernel does for process 1
os.getpid, own = (lambda: {pid}), os.getpid()
import {package}
os.kill(own, signal.SIGTERM)
"""


PACKAGES = ["tuneloop_trainer", "tuneloop_server", "tuneloop_server.comparator", "tuneloop_router", "tuneloop_operator"]
IMPORTED = "import {package}, time; print('imported', flush=True); time.sleep(600)"
SECONDS = 60


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(("pid", "code"), [pytest.param(1, 143, id="first"), pytest.param(7, 0, id="another")])
def test_the_import_of_the_program_alone_makes_the_first_process_listen(package, pid, code):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    script = SPARED.format(pid=pid, package=package)
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=60)
    assert done.returncode == code


def as_first_process(command: list[str]) -> list[str]:
    """Return the command that runs this one as process 1 of a namespace. Without the right to make one it runs as it is."""
    unshare = ["unshare", *([] if os.getuid() == 0 else ["--map-root-user"]), "--pid", "--fork", "--kill-child"]
    may = subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode == 0
    return [*unshare, *command] if may else command


def first_process_of(process: subprocess.Popen[str]) -> int:
    """Return the process id, outside of the namespace, of the first process in it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else process.pid


@pytest.mark.parametrize("package", PACKAGES)
def test_a_first_process_that_has_just_begun_ends_on_sigterm(package):
    command = as_first_process([sys.executable, "-c", IMPORTED.format(package=package)])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "imported\n"
            os.kill(first_process_of(process), signal.SIGTERM)
            assert process.wait(timeout=SECONDS) in (143, -signal.SIGTERM)
        finally:
            process.kill()


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_slow_is_imported_before(package):
    script = f"import sys, {package}; print(sorted({{'pydantic', 'torch', 'uvicorn', 'kopf', 'aiohttp', 'http.client'}} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60, capture_output=True)
    assert done.stdout == b"[]\n"
