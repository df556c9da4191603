"""What a roll-out depends on, taken from a ModelDeployment and its children: the spec with its defaults, servers, the Service, a person's command."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_operator.decide.model_deployment.pin import pinned_revision
from tuneloop_operator.decide.model_deployment.rollout.facts import Action, Capacity, Command, Facts
from tuneloop_operator.decide.model_deployment.rollout.state import Strategy
from tuneloop_operator.decide.model_deployment.rollout_spec import rollout_spec
from tuneloop_operator.decide.model_deployment.router_facts import (
    carrying_routers,
    routing_digest,
    serving_revision,
    standby_routers,
)
from tuneloop_operator.decide.model_deployment.trouble import trouble_of
from tuneloop_operator.names import REVISION_LABEL
from tuneloop_operator.status.model_deployment.deployment import OVERDUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.model_deployment.rollout.facts import RolloutSpec
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout
    from tuneloop_operator.decide.model_deployment.trouble import Trouble
    from tuneloop_operator.state.observed import ObservedDeployment, ServerPod

COMMAND = "tuneloop.dev/rollout"
"""Annotation of a ModelDeployment: `ACTION`, `ACTION/TOKEN` or `ACTION/TOKEN/REVISION`. Another value is another command."""
_ACTIONS = {action.lower(): action for action in Action}
_WORDS = "promote, abort, retry, skip, approve or roll-back"
_MANY_RESTARTS = 3
"""A server that was started again so often, and ends with an error each time, fails for good. One start more is enough for a damaged artifact, which stays so."""
MOST_TOKEN_CHARACTERS = 256


def facts_of(observed: ObservedDeployment, rollout: Rollout | None, *, offered: str, is_local: bool) -> Facts:
    """Return the facts of a roll-out.

    rollout: the memory, by which the revision of the Service is read as a split; offered: as in `Facts`; is_local: whether servers are found
    by their ports on this machine.
    """
    servers = _deployments(observed)
    pods = {name: [pod for pod in observed.pods if pod.revision == name] for name in servers}
    troubles = {name: trouble_of(pods[name], manifest.get("status") or {}) for name, manifest in servers.items()}
    broken = {name: _breakage(pods[name], manifest, troubles[name]) for name, manifest in servers.items()}
    return Facts(
        spec=_spec(observed, rollout),
        offered=offered,
        pinned=pinned_revision(observed, offered=offered),
        serving=serving_revision(observed),
        revisions=tuple(servers),
        counts=tuple((name, manifest["spec"].get("replicas", 1)) for name, manifest in servers.items()),
        # not of the Deployment's status, which may be older than its number of servers
        ready=tuple((name, sum(pod.ready for pod in pods[name])) for name in servers),
        broken=tuple((name, why) for name, why in broken.items() if why),
        failures=tuple((name, trouble.reason) for name, trouble in troubles.items() if trouble.reason),
        routers=carrying_routers(observed, rollout, is_local=is_local),
        standby=standby_routers(observed, rollout, is_local=is_local),
        settings=routing_digest(observed, rollout, is_local=is_local),
        command=_command(observed.deployment.metadata.get("annotations") or {}),
    )


def unknown_command(annotations: Mapping[str, str]) -> str:
    """Return what is wrong with the annotation of a command; empty if nothing is, or there is none."""
    text = annotations.get(COMMAND, "")
    if not text or _command(annotations) is not None:
        return ""
    return f"annotation {COMMAND}: {text[:64]!r}; {_WORDS} is allowed, with a number of your own behind it; for example approve/1"


def _spec(observed: ObservedDeployment, rollout: Rollout | None) -> RolloutSpec:
    """Return the spec. Until a roll-out with Recreate is over, its servers come beside, and no gate waits for copies: the Service cannot divide or copy requests."""
    spec, options = rollout_spec(observed.deployment), observed.deployment.spec.rollout
    if rollout is None or not rollout.canary or rollout.strategy is not Strategy.RECREATE:
        return spec
    blind = {gate.name for gate in (options.gates if options else None) or () if gate.is_on_copies}
    return replace(spec, capacity=Capacity.SURGE, gates=tuple(name for name in spec.gates if name not in blind))


def _deployments(observed: ObservedDeployment) -> dict[str, Manifest]:
    """Return the Deployment of each revision, the oldest first."""
    found = [
        (manifest["metadata"]["labels"][REVISION_LABEL], manifest)
        for (kind, _), manifest in observed.present.items()
        if kind == "Deployment" and REVISION_LABEL in manifest["metadata"]["labels"]
    ]
    return dict(sorted(found, key=lambda pair: (pair[1]["metadata"].get("creationTimestamp", ""), pair[0])))


def _breakage(pods: list[ServerPod], manifest: Manifest, trouble: Trouble) -> str:
    """Return why the servers of a revision fail for good, the class first; empty if they do not, or one of them answers."""
    if any(pod.ready for pod in pods):
        return ""
    status: Mapping[str, Any] = manifest.get("status") or {}
    enough = 1 if trouble.reason == ServingFailureClass.DIGEST_MISMATCH else _MANY_RESTARTS
    crashes = any(pod.restarts >= enough and pod.ended is not None and pod.ended.exit_code for pod in pods)
    is_new = status.get("observedGeneration", 0) >= manifest["metadata"].get("generation", 0)
    is_overdue = is_new and any(found.get("reason") == OVERDUE for found in status.get("conditions") or ())
    if not crashes and not is_overdue:
        return ""
    return f"{trouble.reason}: {trouble.message}" if trouble.reason else trouble.message


def _command(annotations: Mapping[str, str]) -> Command | None:
    text = annotations.get(COMMAND, "")
    word, _, rest = text.partition("/")
    action = _ACTIONS.get(word.replace("-", "").lower())
    revision = rest.partition("/")[2]
    return Command(action=action, token=text[:MOST_TOKEN_CHARACTERS], revision=revision) if action else None
