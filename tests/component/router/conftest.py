"""One router with its Envoy, one operator, and revisions `canary`, `middle`, `stable`, `comparator` behind it, for all tests of this folder.

Each test publishes the split that it needs. What is stopped or killed is a process of the test's own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from model_backends import Backends, backends
from required import skip_or_fail
from router_process import Router, running, settings_file
from split_operator import SplitOperator, following, make_certificate, split_operator

from tuneloop_router.binary import find_envoy
from tuneloop_router.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = ("first-key", "second-key")


@dataclass(frozen=True)
class Stage:
    """A router that follows an operator."""

    router: Router
    operator: SplitOperator
    models: Backends
    folder: Path
    generations: Iterator[int]

    def publish(self, *, sticky: Any = None, shadow: Any = None, limits: Any = None, **weights: int) -> int:
        """Publish a split of the next generation, and return it once it is in force."""
        split = self.models.split(generation=next(self.generations), **weights)
        split |= {"sticky": sticky, "shadow": shadow, "limits": limits}
        self.operator.publish(split)
        self.operator.wait_until_in_force(split["generation"])
        return split["generation"]


@pytest.fixture(scope="session")
def envoy() -> str:
    try:
        return find_envoy(None)
    except CannotRun as error:
        skip_or_fail(str(error))


@pytest.fixture(scope="session")
def models(envoy: str) -> Iterator[Backends]:
    with backends("canary", "middle", "stable", "comparator") as found:
        yield found


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("own", "other"):
        make_certificate(folder, name)
    return folder


@pytest.fixture(scope="session")
def stage(models: Backends, certificates: Path, tmp_path_factory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("router")
    (folder / "token").write_text("first-token\n")
    (folder / "keys").write_text("\n".join(KEYS))
    with split_operator(certificates, token="first-token") as operator:
        settings = settings_file(
            folder,
            models.split(stable=100),
            operator=following(folder, operator, certificates),
            apiKeysPath=str(folder / "keys"),
            uploadSeconds=3,
        )
        with running(settings) as router:
            yield Stage(router, operator, models, folder, itertools.count(2))
