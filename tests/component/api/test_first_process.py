"""A container's first process ends on SIGTERM from its first moment on; the kernel alone would not do that to it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SPARED = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what the kernel does for process 1
os.getpid, own = (lambda: {pid}), os.getpid()
import {package}
os.kill(own, signal.SIGTERM)
"""


@pytest.mark.parametrize("package", ["tuneloop_trainer", "tuneloop_server"])
@pytest.mark.parametrize(("pid", "code"), [pytest.param(1, 143, id="first"), pytest.param(7, 0, id="another")])
def test_the_import_of_the_program_alone_makes_the_first_process_listen(package, pid, code):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    script = SPARED.format(pid=pid, package=package)
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=60)
    assert done.returncode == code


@pytest.mark.parametrize("package", ["tuneloop_trainer", "tuneloop_server"])
def test_nothing_slow_is_imported_before(package):
    script = f"import sys, {package}; print(sorted({{'pydantic', 'torch', 'uvicorn'}} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60, capture_output=True)
    assert done.stdout == b"[]\n"
