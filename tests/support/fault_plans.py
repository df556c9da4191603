"""Fault plans: which single fault meets a run of a scenario, learned from the writes and watch events of fault-free runs. No I/O.

    plans = [*write_plans(scenario, clean, faults=("kill",)), *event_plans(scenario, clean)]

A plan's id, such as `restarted/kill/07`, is good for the same fault again: TUNELOOP_PLANS='restarted/kill/07' runs it alone.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from end_state import EndState
from fault_proxy import Call, DropAfter, DropBefore, Kill, Match, Notification, Rule, SkipEvent, tally, writes
from pod_scripts import Script, by_attempt, by_index, fail, hang, succeed

from tuneloop_api.wire.failure_class import FailureClass

NOT_COUNTED = ("leases", "events", "endpointslices")
"""They have a plan of their own: how many there are depends on time, or on who else the operator works for."""
COUNTED_WRITES = r"(?!(leases|events|endpointslices)$).*"
ACTS = {"kill": Kill(), "lose-reply": DropAfter(), "lose-request": DropBefore()}
"""What happens to a write, by the word for it in a plan's id."""
_GENERATED = re.compile(r"-[a-z0-9]{5}$")
EventKey = tuple[str, str, str]
"""Resource, name without its generated part, type."""


@dataclass(frozen=True)
class Scenario:
    """A FineTuneJob and what becomes of its pods."""

    name: str
    """Of the FineTuneJob, too."""
    scripts: Mapping[str, Script] = field(default_factory=dict)
    """By stage; without one, the pods of a stage succeed."""


SUCCEEDED = Scenario("succeeded")
RESTARTED = Scenario(
    "restarted", {"train": by_attempt(by_index({0: fail(FailureClass.STORAGE)}, otherwise=hang), succeed)}
)
"""The first attempt fails in a way that is worth another one. Its other pod is stopped, so that what is left is the same each time."""
SCENARIOS = (SUCCEEDED, RESTARTED)


def scripts_of(scenarios: Iterable[Scenario]) -> dict[str, Script]:
    """Return the scripts for one patcher that plays the pods of all scenarios."""
    return {f"{scenario.name}/{stage}": script for scenario in scenarios for stage, script in scenario.scripts.items()}


@dataclass(frozen=True)
class Clean:
    """One fault-free run."""

    end: EndState
    calls: tuple[Call, ...]
    events: tuple[Notification, ...]

    @property
    def writes(self) -> list[Call]:
        """The writes that plans count, in order."""
        return writes(self.calls, without=NOT_COUNTED)

    @property
    def event_counts(self) -> Counter[EventKey]:
        """How often the watch reported each type of event of each object."""
        return Counter(_key_of(event) for event in self.events if event.type != "BOOKMARK")


@dataclass(frozen=True)
class Plan:
    """One fault in one run."""

    scenario: Scenario
    fault: str
    number: int
    match: Match
    """Without the namespace, which each run has its own of."""
    what: str
    """What the fault met in a fault-free run."""

    @property
    def id(self) -> str:
        """`SCENARIO/FAULT/NUMBER`."""
        return f"{self.scenario.name}/{self.fault}/{self.number:02}"

    def rule(self, namespace: str) -> Rule:
        """Return the fault proxy's rule for a run in this namespace."""
        match = Match(**{**vars(self.match), "namespace": re.escape(namespace)})
        return Rule(match, ACTS.get(self.fault) or SkipEvent())

    def __str__(self) -> str:
        return f"{self.id} ({self.what})"


def write_plans(scenario: Scenario, clean: Sequence[Clean], *, fault: str) -> list[Plan]:
    """Return a plan for each write that all fault-free runs did; it meets the write with the same number."""
    shortest = min((run.writes for run in clean), key=len)
    return [
        Plan(scenario, fault, number, Match(verb="write", resource=COUNTED_WRITES, nth=number), _description_of(call))
        for number, call in enumerate(shortest, start=1)
    ]


def event_plans(scenario: Scenario, clean: Sequence[Clean]) -> list[Plan]:
    """Return a plan for each watch event that all fault-free runs received."""
    common = clean[0].event_counts
    for run in clean[1:]:
        common &= run.event_counts
    met = [(key, nth) for key, count in sorted(common.items()) for nth in range(1, count + 1)]
    return [
        Plan(scenario, "miss-event", number, _match_of(key, nth=nth), f"{key[2]} {nth} of {key[0]} {key[1]}")
        for number, (key, nth) in enumerate(met, start=1)
    ]


def sample(plans: Sequence[Plan], count: int, *, seed: int) -> list[Plan]:
    """Return so many of the plans, the same ones for the same seed, in their order."""
    chosen = random.Random(seed).sample(range(len(plans)), min(count, len(plans)))
    return [plans[number] for number in sorted(chosen)]


def named(plans: Iterable[Plan], pattern: str) -> list[Plan]:
    """Return the plans whose whole id fits a regular expression."""
    return [plan for plan in plans if re.fullmatch(pattern, plan.id)]


def made_and_deleted(calls: Iterable[Call]) -> Counter[tuple[str, str, str]]:
    """Count how often the operator made and deleted each object: (verb, resource, name)."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for (verb, resource, _, name), count in tally(calls, without=NOT_COUNTED).items():
        counted[verb, resource, name] += count
    return counted


def _description_of(call: Call) -> str:
    subresource = f"/{call.subresource}" if call.subresource else ""
    return f"{call.verb} {call.resource}{subresource} {call.name}"


def _key_of(event: Notification) -> EventKey:
    name = _GENERATED.sub("", event.name) if event.resource == "pods" else event.name
    return event.resource, name, event.type


def _match_of(key: EventKey, *, nth: int) -> Match:
    resource, name, kind = key
    pattern = re.escape(name) + ("-[a-z0-9]{5}" if resource == "pods" else "")
    return Match(resource=resource, name=pattern, event=kind, nth=nth)
