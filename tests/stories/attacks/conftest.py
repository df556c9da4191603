"""The programs that are attacked: the real model server over a tiny model, and the operator's real servers for pods."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from artifact import make_artifact
from operator_process import make_certificate
from pod_ports_process import RunningPodPorts, pod_ports_process
from raw_http import open_files
from server_process import Server, configuration, running
from tiny_models import tiny_bert

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = 400
"""That the model server may open: so a few hundred connections are too many."""


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attacked")
    make_artifact(folder / "artifact", tiny_bert(folder / "bert"), ("bad", "good"), max_tokens=16)
    with ExitStack() as stack:
        with open_files(FILES):  # for the server alone: the attackers need more
            server = stack.enter_context(running(configuration(folder / "artifact"), folder))
        server.ask({"inputs": ["a good film"] * 64})
        yield server


@pytest.fixture(scope="session")
def pod_ports(tmp_path_factory) -> Iterator[RunningPodPorts]:
    with pod_ports_process(make_certificate(tmp_path_factory.mktemp("pod-ports"))) as ports:
        ports.post()
        ports.poll()
        yield ports
