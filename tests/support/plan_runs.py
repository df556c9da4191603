"""Runs fault plans, many at a time, each in a namespace of its own, and compares what is left with fault-free runs.

    runner = PlanRunner(control_plane, tmp_path)        # pods have to be played: PodStatusPatcher(scripts=scripts_of(SCENARIOS))
    clean = runner.clean(scenario)
    outcomes = runner.run(write_plans(scenario, clean, fault="kill"), clean)

A plan that kills has an operator of its own; all others share one, since their faults meet the calls about one namespace alone.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cluster_tier import fresh_namespace
from end_state import Reference, count_differences, reference
from fault_plans import Clean, Plan, Scenario, made_and_deleted
from fault_proxy import ActiveRule, Call, FaultProxy, Match, Notification, Rule, WatchError, writes
from namespace_client import OVER, PAUSE, NamespaceClient
from operator_process import RunningOperator
from waiting import until

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane

T = TypeVar("T")
_END_SECONDS = 150.0
"""A deadline for a machine that does other work, too; a run takes about five seconds."""
_CONVERGE_SECONDS = 60.0
_QUIET_SECONDS = 1.0
_GAP_SECONDS = 1.0
"""How long after an event that was missed the watch breaks off, as it does where events are missed."""
_NAMESPACES_OF_ONE_OPERATOR = 20
_OPERATORS_AT_ONCE = 4
_SETTINGS = {"progress_url": "https://tuneloop-progress.test:8443"}
"""Those that show in children, and would differ between operators. Nobody posts."""


@dataclass(frozen=True)
class Outcome:
    """What came of a plan."""

    plan: Plan
    has_fired: bool
    """Whether the fault happened: a status that is written less often in this run has no write of the last number."""
    problems: list[str]
    """Differences to the fault-free runs; empty if all is well."""
    seconds: float

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.plan}{'' if self.has_fired else ': not met'}", *(f"    {problem}" for problem in self.problems)]
        )


@dataclass(frozen=True)
class Run:
    """A namespace, and the proxy and operator that serve it."""

    client: NamespaceClient
    proxy: FaultProxy
    operator: RunningOperator

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls about this namespace."""
        return tuple(call for call in self.proxy.trace if call.namespace == self.client.namespace)

    @property
    def events(self) -> tuple[Notification, ...]:
        """The events about this namespace."""
        return tuple(event for event in self.proxy.events if event.namespace == self.client.namespace)

    def wait_until_quiet(self) -> None:
        """Return once nothing was written for a moment. Raises AssertionError at the deadline."""
        deadline = time.monotonic() + _CONVERGE_SECONDS
        before = -1
        while (now := len(writes(self.calls))) != before:
            assert time.monotonic() < deadline, f"{self.client.namespace} is not left alone"
            before = now
            time.sleep(_QUIET_SECONDS)


class PlanRunner:
    """Operators and proxies come and go; the control plane and whoever plays the pods are the caller's."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._plane = plane
        self._folder = folder
        self._numbers = itertools.count(1)

    def clean(self, scenario: Scenario, *, count: int = 3) -> list[Clean]:
        """Run without faults, so many times at once."""

        def run_once(run: Run) -> Clean:
            run.client.submit(scenario.name)
            _wait_for_the_end(run, scenario)
            run.wait_until_quiet()
            assert run.client.phase(scenario.name) == "Succeeded", run.client.status(scenario.name)
            return Clean(run.client.end_state(), run.calls, run.events)

        with self._shared(count) as runs:
            return _at_once([lambda run=run: run_once(run) for run in runs], workers=count)

    def run(self, plans: Sequence[Plan], clean: Sequence[Clean]) -> list[Outcome]:
        """Run plans of one scenario; return their outcomes in the same order."""
        judge = _Judge(reference([run.end for run in clean]), made_and_deleted(clean[0].calls))
        killing = [plan for plan in plans if plan.fault == "kill"]
        others = [plan for plan in plans if plan.fault != "kill"]
        found = _at_once([lambda plan=plan: self._killed(plan, judge) for plan in killing], workers=_OPERATORS_AT_ONCE)
        for start in range(0, len(others), _NAMESPACES_OF_ONE_OPERATOR):
            batch = others[start : start + _NAMESPACES_OF_ONE_OPERATOR]
            with self._shared(len(batch)) as runs:
                pairs = zip(batch, runs, strict=True)
                found += _at_once(
                    [lambda plan=plan, run=run: _met(plan, run, judge) for plan, run in pairs], workers=len(batch)
                )
        by_id = {outcome.plan.id: outcome for outcome in found}
        return [by_id[plan.id] for plan in plans]

    @contextmanager
    def _shared(self, count: int) -> Iterator[list[Run]]:
        """Yield so many namespaces that one leading operator serves."""
        with ExitStack() as stack:
            home, *names = [stack.enter_context(fresh_namespace(self._plane)) for _ in range(count + 1)]
            folder = self._folder / f"shared-{next(self._numbers)}"
            proxy = stack.enter_context(FaultProxy(self._plane, folder=folder))
            operator = stack.enter_context(
                self._operator(folder, proxy, pod_namespace=home, namespaces=",".join(names))
            )
            operator.wait_ready().wait_leading()
            clients = [NamespaceClient(self._plane, name) for name in names]
            for client in clients:
                stack.callback(client.close)
            yield [Run(client, proxy, operator) for client in clients]

    def _killed(self, plan: Plan, judge: _Judge) -> Outcome:
        began = time.monotonic()
        with ExitStack() as stack:
            client = self._plane.client()
            stack.callback(client.close)
            name = stack.enter_context(fresh_namespace(client))
            folder = self._folder / plan.id
            proxy = stack.enter_context(FaultProxy(self._plane, [], folder=folder))
            operator = stack.enter_context(self._operator(folder, proxy, pod_namespace=name, namespaces=name))
            run = Run(NamespaceClient(self._plane, name), proxy, operator)
            stack.callback(run.client.close)
            rule = proxy.add(plan.rule(name))
            run.client.submit(plan.scenario.name)
            until(
                lambda: operator.process.poll() is not None or run.client.phase(plan.scenario.name) in OVER,
                seconds=_END_SECONDS,
                what=f"{plan}: killed",
                pause=PAUSE,
            )
            if rule.fired:
                operator.process.wait(10)
                operator.start()
            return _outcome(plan, run, rule, judge, began)

    @staticmethod
    def _operator(folder: Path, proxy: FaultProxy, **settings: str) -> RunningOperator:
        return RunningOperator(None, folder, kubeconfig=proxy.kubeconfig, **_SETTINGS, **settings)


@dataclass(frozen=True)
class _Judge:
    """What fault-free runs left and did."""

    end: Reference
    counts: Counter[tuple[str, str, str]]

    def problems(self, run: Run) -> list[str]:
        return self.end.differences(run.client.end_state()) + count_differences(
            self.counts, made_and_deleted(run.calls)
        )


def _met(plan: Plan, run: Run, judge: _Judge) -> Outcome:
    """Run a plan that leaves the operator alive."""
    began = time.monotonic()
    rule = run.proxy.add(plan.rule(run.client.namespace))
    run.client.submit(plan.scenario.name)
    if plan.fault == "miss-event":
        until(
            lambda: rule.fired or run.client.phase(plan.scenario.name) in OVER,
            seconds=_END_SECONDS,
            what=str(plan),
            pause=PAUSE,
        )
        time.sleep(_GAP_SECONDS)
        _break_watch(run, plan.match.resource or "")
    return _outcome(plan, run, rule, judge, began)


def _break_watch(run: Run, resource: str) -> None:
    match = Match(verb="watch", resource=resource, namespace=run.client.namespace)
    broken = run.proxy.add(Rule(match, WatchError(410)))
    broken.wait()
    broken.remove()


def _outcome(plan: Plan, run: Run, rule: ActiveRule, judge: _Judge, began: float) -> Outcome:
    """Wait for the end and compare it."""
    try:
        _wait_for_the_end(run, plan.scenario)
        run.operator.wait_ready().wait_leading()
        run.wait_until_quiet()
        deadline = time.monotonic() + _CONVERGE_SECONDS
        while (problems := judge.problems(run)) and time.monotonic() < deadline:
            time.sleep(0.5)
    except AssertionError as error:
        problems = [f"{error}", f"status: {run.client.status(plan.scenario.name)}", run.operator.log[-2000:]]
    return Outcome(plan, bool(rule.fired), problems, time.monotonic() - began)


def _wait_for_the_end(run: Run, scenario: Scenario) -> None:
    phases = f"{run.client.namespace}/{scenario.name} over"
    until(lambda: run.client.phase(scenario.name) in OVER, seconds=_END_SECONDS, what=phases, pause=PAUSE)
    jobs = f"the end of the Jobs of {run.client.namespace}"
    until(run.client.is_idle, seconds=_CONVERGE_SECONDS, what=jobs, pause=PAUSE)


def _at_once(work: Sequence[Callable[[], T]], *, workers: int) -> list[T]:
    """Do all of it in threads; an operator dies with the thread that started it, which is the one that uses it."""
    if not work:
        return []
    with ThreadPoolExecutor(workers) as pool:
        return [future.result() for future in [pool.submit(call) for call in work]]
