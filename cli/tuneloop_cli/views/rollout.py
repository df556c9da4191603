"""The roll-out of a ModelDeployment: its lines on a page, and one line for people who watch it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.lines import pair
from tuneloop_cli.views.values import Manifest, at

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEXT = {
    "Paused": "tuneloop rollout approve {name}, or abort",
    "Held": "tuneloop rollout retry {name}, or skip, promote, abort",
}
"""What a person may do who is waited for, by phase."""


def rollout_lines(deployment: Manifest) -> Iterator[str]:
    """Yield where the roll-out is, what each gate has found, what each router follows, and which revisions are not offered again."""
    rollout: Manifest = at(deployment, "status.rollout") or {}
    advice = _NEXT.get(rollout.get("phase", ""))
    yield from pair("phase", rollout.get("phase"))
    yield from pair("step", rollout.get("step") if rollout.get("canary") else None)
    yield from pair("requests", _shares(rollout))
    yield from pair("why", rollout.get("message"))
    yield from pair("next", advice and advice.format(name=deployment["metadata"]["name"]))
    for gate in rollout.get("gates") or ():
        yield from pair("gate", f"{gate['name']} {gate['verdict']}: {gate['reason']}")
    for router in rollout.get("routers") or ():
        yield from pair("router", f"{router['name']} follows {_generation(router)}")
    for rejected in rollout.get("rejected") or ():
        failure = f" ({rejected['failure']})" if rejected.get("failure") else ""
        yield from pair("rejected", f"{rejected['revision']}, {rejected['reason']}{failure}: {rejected['message']}")


def rollout_story(deployment: Manifest) -> str:
    """Return one line: the phase, and the operator's sentence with step, share, and each gate's numbers."""
    phase, message = at(deployment, "status.rollout.phase"), at(deployment, "status.conditions[Ready].message")
    return ": ".join(filter(None, (phase, message)))


def _generation(router: Manifest) -> str:
    return f"generation {router['generation']}" if "generation" in router else "nothing yet"


def _shares(rollout: Manifest) -> str | None:
    """Return the shares of the revisions as the routers are to divide them: `834ce382 20%, 8aeb6ba5 80%`; None if there is no roll-out."""
    weights = at(rollout, "split.weights") or ()
    return ", ".join(f"{share['revision']} {share['weight']}%" for share in weights) or None
