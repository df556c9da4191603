"""A session whose manifest has a gate with a query: it has a Prometheus, or says before anything starts that there is none."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

import psutil
import pytest
from scraped_numbers import require_prometheus
from waiting import eventually

from tuneloop_cli.local.errors import NotAccepted
from tuneloop_cli.local.session import LocalSession
from tuneloop_operator.prometheus.answer import Number
from tuneloop_operator.prometheus.query import PromQL

QUERY = 'sum(rate(tuneloop_truncated_requests_total{revision="{{revision}}"}[1m]))'


def deployment(**gate: Any) -> dict[str, Any]:
    rollout = {"strategy": "Recreate", "gates": [{"name": "g", "margin": 0.1} | gate]} if gate else {}
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"model": {"uri": "pvc://demo/artifact"}} | ({"rollout": rollout} if gate else {}),
    }


def runs_in(folder) -> list[int]:
    """Return the Prometheus processes whose data lie in a session's folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "prometheus" and process.cwd() == str(folder / "prometheus"):
                found.append(process.pid)
    return found


def in_session(folder, story) -> None:
    async def life() -> None:
        async with LocalSession(folder) as session:
            try:
                await story(session)
            finally:
                await session.abort()

    (folder / "claims/demo").mkdir(parents=True)
    asyncio.run(life())


def test_a_query_has_a_prometheus_that_ends_with_the_session(tmp_path):
    require_prometheus()

    async def story(session: LocalSession) -> None:
        assert runs_in(tmp_path) == []
        await session.submit(deployment(query=QUERY, compare="Absolute"))
        (first,) = runs_in(tmp_path)
        await session.submit(deployment(query=QUERY, compare="Absolute", margin=0.2))
        assert runs_in(tmp_path) == [first], "one is enough"
        answer = await session._prometheus.ask(PromQL("vector(7)"))
        assert isinstance(answer, Number)
        assert answer.value == 7.0

    in_session(tmp_path, story)
    assert runs_in(tmp_path) == []


def test_a_prometheus_that_is_killed_comes_back_at_its_address(tmp_path):
    require_prometheus()

    async def story(session: LocalSession) -> None:
        await session.submit(deployment(query=QUERY, compare="Absolute"))
        (first,) = runs_in(tmp_path)
        os.kill(first, signal.SIGKILL)

        async def answers_again() -> bool:
            return runs_in(tmp_path) not in ([first], []) and isinstance(
                await session._prometheus.ask(PromQL("vector(7)")), Number
            )

        await eventually(answers_again, seconds=30, what="another Prometheus")

    in_session(tmp_path, story)
    assert runs_in(tmp_path) == []


def test_without_a_query_there_is_none(tmp_path):
    async def story(session: LocalSession) -> None:
        await session.submit(deployment())
        assert runs_in(tmp_path) == []
        assert not (tmp_path / "prometheus").exists()

    in_session(tmp_path, story)


def test_where_there_is_no_prometheus_a_query_is_refused_before_anything_is_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    async def story(session: LocalSession) -> None:
        with pytest.raises(NotAccepted, match=r"spec\.rollout\.gates\[0\]\.query: .*sudo apt-get install prometheus"):
            await session.submit(deployment(query=QUERY, compare="Absolute"))
        assert session.node.cluster.all("ModelDeployment") == []

    in_session(tmp_path, story)
