"""What a roll-out depends on, taken from a ModelDeployment and its children: the spec with its defaults, servers, the Service, a person's command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.model_deployment.rollout import Rollback, RolloutOptions
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.durations import seconds
from tuneloop_operator.decide.model_deployment.rollout.facts import Action, Command, Facts, RolloutSpec, Router
from tuneloop_operator.decide.model_deployment.rollout.state import Strategy
from tuneloop_operator.decide.model_deployment.trouble import DAMAGED, trouble_of
from tuneloop_operator.names import REVISION_LABEL
from tuneloop_operator.status.model_deployment.deployment import OVERDUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout
    from tuneloop_operator.state.observed import ObservedDeployment, ServerPod

COMMAND = "tuneloop.dev/rollout"
"""Annotation of a ModelDeployment: `ACTION`, `ACTION/TOKEN` or `ACTION/TOKEN/REVISION`. Another value is another command."""
_ACTIONS = {action.lower(): action for action in Action}
_WORDS = "promote, abort, retry, approve or roll-back"
_MANY_RESTARTS = 3
"""A server that was started again so often, and ends with an error each time, fails for good. One start more is enough for a damaged artifact, which stays so."""
MOST_TOKEN_CHARACTERS = 256
SERVICE = "service"
"""Name of the Service where it stands for the only router."""


def rollout_spec(deployment: ModelDeployment) -> RolloutSpec:
    """Return `spec.rollout` with its defaults."""
    spec = deployment.spec
    options = spec.rollout or RolloutOptions()
    rollback = options.rollback or Rollback()
    return RolloutSpec(
        strategy=Strategy.RECREATE,
        max_duration=seconds(options.max_duration or "1d"),
        manual_approval=options.approval == "Manual",
        automatic_rollback=rollback.automatic is not False,
        baking=seconds(rollback.baking or "1h"),
        window=seconds(rollback.window or "1d"),
        keep_replicas=rollback.keep_replicas or 0,
        history_limit=5 if options.revision_history_limit is None else options.revision_history_limit,
        replicas=1 if spec.replicas is None else spec.replicas,
        digest=digest_of(spec.to_wire() | {"replicas": None}),
    )


def facts_of(observed: ObservedDeployment, rollout: Rollout | None, *, offered: str) -> Facts:
    """Return the facts of a roll-out. rollout: the memory, by which the revision of the Service is read as a split; offered: as in `Facts`."""
    servers = _deployments(observed)
    pods = {name: [pod for pod in observed.pods if pod.revision == name] for name in servers}
    broken = {name: _breakage(pods[name], manifest) for name, manifest in servers.items()}
    serving = _revision_of_service(observed)
    return Facts(
        spec=rollout_spec(observed.deployment),
        offered=offered,
        serving=serving,
        revisions=tuple(servers),
        counts=tuple((name, manifest["spec"].get("replicas", 1)) for name, manifest in servers.items()),
        # not of the Deployment's status, which may be older than its number of servers
        ready=tuple((name, sum(pod.ready for pod in pods[name])) for name in servers),
        broken=tuple((name, why) for name, why in broken.items() if why),
        routers=_routers(rollout, serving),
        command=_command(observed.deployment.metadata.get("annotations") or {}),
    )


def unknown_command(annotations: Mapping[str, str]) -> str:
    """Return what is wrong with the annotation of a command; empty if nothing is, or there is none."""
    text = annotations.get(COMMAND, "")
    if not text or _command(annotations) is not None:
        return ""
    return f"annotation {COMMAND}: {text[:64]!r}; {_WORDS} is allowed, with a number of your own behind it; for example approve/1"


def _deployments(observed: ObservedDeployment) -> dict[str, Manifest]:
    """Return the Deployment of each revision, the oldest first."""
    found = [
        (manifest["metadata"]["labels"][REVISION_LABEL], manifest)
        for (kind, _), manifest in observed.present.items()
        if kind == "Deployment" and REVISION_LABEL in manifest["metadata"]["labels"]
    ]
    return dict(sorted(found, key=lambda pair: (pair[1]["metadata"].get("creationTimestamp", ""), pair[0])))


def _breakage(pods: list[ServerPod], manifest: Manifest) -> str:
    """Return why the servers of a revision fail for good; empty if they do not, or one of them answers."""
    if any(pod.ready for pod in pods):
        return ""
    status: Mapping[str, Any] = manifest.get("status") or {}
    trouble = trouble_of(pods, status)
    enough = 1 if trouble.artifact == DAMAGED else _MANY_RESTARTS
    crashes = any(pod.restarts >= enough and pod.ended is not None and pod.ended.exit_code for pod in pods)
    is_new = status.get("observedGeneration", 0) >= manifest["metadata"].get("generation", 0)
    is_overdue = is_new and any(found.get("reason") == OVERDUE for found in status.get("conditions") or ())
    return trouble.message if crashes or is_overdue else ""


def _revision_of_service(observed: ObservedDeployment) -> str:
    service = observed.present.get(("Service", observed.deployment.metadata["name"]))
    selector: dict[str, str] = ((service or {}).get("spec") or {}).get("selector") or {}
    return selector.get(REVISION_LABEL, "")


def _routers(rollout: Rollout | None, serving: str) -> tuple[Router, ...]:
    """Return the Service as a router that follows the newest split in which its revision has all requests."""
    if rollout is None or not serving:
        return ()
    splits = [split for split in (*rollout.earlier, rollout.split) if split.weight_of(serving) == 100]
    return (Router(name=SERVICE, generation=splits[-1].generation if splits else None),)


def _command(annotations: Mapping[str, str]) -> Command | None:
    text = annotations.get(COMMAND, "")
    word, _, rest = text.partition("/")
    action = _ACTIONS.get(word.replace("-", "").lower())
    revision = rest.partition("/")[2]
    return Command(action=action, token=text[:MOST_TOKEN_CHARACTERS], revision=revision) if action else None
