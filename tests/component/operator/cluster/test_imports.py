"""What the operator's client costs before it has asked anything."""

from __future__ import annotations

import subprocess
import sys


def loaded(statement: str) -> set[str]:
    program = f"import sys; sys.path[:0] = {sys.path!r}; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_protocol_alone_loads_no_client() -> None:
    assert not {"kubernetes", "aiohttp", "kopf"} & loaded("import tuneloop_operator.cluster")


def test_the_client_loads_no_typed_models() -> None:
    modules = loaded("import tuneloop_operator.cluster.api_server")
    models = {name for name in modules if ".client.models." in name or ".client.api." in name}
    assert "kubernetes.aio.client.api_client" in modules
    assert not models
