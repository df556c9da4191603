"""An artifact with a tiny real model, and a server process over it, which the tests that change nothing share. The same for a tagger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from artifact import make_artifact
from server_process import Artifact, Server, configuration, running, running_fork
from tiny_models import tiny_bert
from tiny_taggers import tiny_tagger

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def artifact(tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("server")
    manifest = make_artifact(
        folder / "artifact", tiny_bert(folder / "bert"), ("negative", "neutral", "positive"), max_tokens=16
    )
    return Artifact(folder / "artifact", manifest)


@pytest.fixture(scope="session")
def server(artifact, tmp_path_factory) -> Iterator[Server]:
    config = configuration(artifact.folder, digest=artifact.manifest.digest())
    with running(config, tmp_path_factory.mktemp("running")) as server:
        yield server


@pytest.fixture(scope="session")
def tagger_artifact(tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("tagger")
    return Artifact(folder, tiny_tagger(folder, "bert"))


@pytest.fixture(scope="session")
def tagger(tagger_artifact, tmp_path_factory) -> Iterator[Server]:
    """A server for token classification with a queue of 12 texts."""
    config = configuration(tagger_artifact.folder, batching={"max_queue": 12})
    with running_fork(config, tmp_path_factory.mktemp("running")) as server:
        yield server
