"""`tuneloop plan`: the plan of a job as a page. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.job_page import memory_table
from tuneloop_cli.views.lines import columns, field, pair, pairs, section
from tuneloop_cli.views.values import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.contract.job_plan import JobPlan, PlannedMemory, PlannedSpace


def plan_page(name: str, plan: JobPlan) -> str:
    """Return the plan as an indented page that ends with the problems of the job."""
    return "\n".join(line for line in _page(name, plan) if line)


def _page(name: str, plan: JobPlan) -> Iterator[str]:
    yield field("Name", name)
    yield field("Model", f"{plan.model.type}, {_parameters(plan)}")
    yield field("Head", plan.model.head)
    yield field("Ranks", f"{plan.ranks} on {plan.nodes} {'node' if plan.nodes == 1 else 'nodes'}")
    rows = ", ".join(f"{split} {count:,}" for split, count in plan.rows.items())
    yield field("Rows", rows)
    yield from section("Notes", plan.notes)
    yield from section("Chosen", _chosen(plan))
    memory = plan.memory
    yield from section(
        "Memory plan of one rank",
        memory_table(memory.rank.to_wire()) if memory else ["not known: the model cannot be traced"],
    )
    if memory:
        yield from section("Memory of a pod", _pod(memory))
    if plan.space:
        yield from section("Room on the claim", _space(plan.space))
    yield field("Rehearsal", plan.rehearsal)
    yield from section("Problems", _problems(plan))
    yield "It cannot run as it is." if plan.problems else "It can run."


def _parameters(plan: JobPlan) -> str:
    if plan.model.parameters is None or plan.model.trainable is None:
        return "parameters not known"
    return f"{plan.model.parameters:,} parameters, {plan.model.trainable:,} of them trained"


def _chosen(plan: JobPlan) -> Iterator[str]:
    chosen = plan.resolved.to_wire()
    if plan.sampled is not None:
        chosen["maxTokens"] = (
            f"about {plan.resolved.max_tokens} (from {plan.sampled:,} rows of train; prepare looks at all)"
        )
    yield from pairs(chosen)


def _pod(memory: PlannedMemory) -> Iterator[str]:
    yield from pair("needs", size(memory.pod))
    yield from pair("limit", "none known" if memory.limit is None else size(memory.limit))
    yield from pair("would fit", " or ".join(memory.nearest) or None)


def _space(space: PlannedSpace) -> Iterator[str]:
    needed = sum(space.needs.values())
    rows = [*space.needs.items(), ("needed", needed), ("free", space.free)]
    yield from columns(("WHAT", "BYTES"), [(name, size(amount)) for name, amount in rows])


def _problems(plan: JobPlan) -> Iterator[str]:
    for problem in plan.problems:
        yield from pair("error", problem.message)
        yield from pair("hint", problem.hint)
