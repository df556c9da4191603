"""What a decision is: the facts that it lacks, or the writes of one round in the order in which they are carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.cluster import Kind, Manifest


@dataclass(frozen=True, kw_only=True)
class LiveChildren:
    """The object and its children, read from the API server now. What the watch reported may be old."""


@dataclass(frozen=True, kw_only=True)
class PodRefusals:
    """Why the API server refused to create pods of these Jobs. Only Events say so, and Events are not watched."""

    job_uids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MountFailures:
    """Why the kubelet cannot mount volumes of these pods. Only Events say so, and Events are not watched."""

    pod_uids: tuple[str, ...]


Need: TypeAlias = LiveChildren | PodRefusals | MountFailures


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """An object to delete, unless another object has its name by now."""

    kind: Kind
    name: str
    uid: str


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The number of pods of a Deployment that is to be set, unless another Deployment has its name by now. The pods stay as they are."""

    name: str
    uid: str
    replicas: int


@dataclass(frozen=True, kw_only=True)
class Event:
    """A Kubernetes Event about the object."""

    type: Literal["Normal", "Warning"] = "Normal"
    reason: str
    message: str
    at: datetime | None = None
    """When it was decided, of an event that may be reported twice and is to be one; None: whenever it is reported."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The status is written first, because it must never be lost. Deletions follow, then created ConfigMaps, applied children, other created ones, and numbers of pods."""

    needs: Need | None = None
    """A fact that is missing. The reconciler gathers the fact and decides again; it carries out nothing of this decision."""
    status: dict[str, Any] | None = None
    """The whole new status; None: the status stays."""
    progress_only: bool = False
    """Whether the new status differs in progress, or in what was counted, alone."""
    delete: tuple[Deletion, ...] = ()
    apply: tuple[Manifest, ...] = ()
    create: tuple[Manifest, ...] = ()
    scale: tuple[Scaling, ...] = ()
    requeue_after: float | None = None
    """Seconds after which to decide again even if nothing changes."""
    events: tuple[Event, ...] = ()
