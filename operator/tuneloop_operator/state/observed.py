"""What reconcile has seen, as frozen values: the whole input of a decision. No I/O is done here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_api.contract.run_config import Stage
    from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
    from tuneloop_operator.cluster import Kind, Manifest

ObjectName = tuple["Kind", str]


@dataclass(frozen=True, kw_only=True)
class ContainerEnd:
    """How a pod's container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""
    """The termination message; the end of the log where the container wrote none."""
    finished: datetime


@dataclass(frozen=True, kw_only=True)
class PodView:
    """One pod of a stage."""

    name: str
    uid: str
    stage: Stage
    attempt: int
    owner: str
    """The uid of its Job."""
    index: int = 0
    """Completion index: the node's rank."""
    phase: str = "Pending"
    reason: str = ""
    """`status.reason`: why the kubelet or the node controller ended it."""
    message: str = ""
    node: str | None = None
    image: str = ""
    """What the image turned out to be: a digest of its repository where the runtime knows one."""
    created: datetime
    ready: bool = False
    started: datetime | None = None
    """When its container began to run."""
    ended: ContainerEnd | None = None
    waiting: str = ""
    """Why the container does not run yet."""
    waiting_message: str = ""
    unschedulable: str = ""
    disruption: str = ""
    """Reason of the DisruptionTarget condition."""
    deletion_asked: datetime | None = None
    """When its deletion was asked for."""
    gone_by: datetime | None = None
    """When its grace period is over."""

    @property
    def is_terminal(self) -> bool:
        """Whether no process of it can run any more."""
        return self.phase in {"Succeeded", "Failed"}


@dataclass(frozen=True, kw_only=True)
class JobView:
    """The Job of one stage."""

    name: str
    uid: str
    stage: Stage
    attempt: int
    created: datetime
    started: datetime | None = None
    """When it was last let go: at its creation, or when it was unsuspended; None while it is suspended, and until the Job controller has
    looked at it."""
    suspended: bool = False
    """By somebody else, such as Kueue, until the Job controller knows that it is let go."""
    refused: str = ""
    """What the API server said when a pod of it could not be created: quota, LimitRange, Pod Security, webhook. Only known on a live look."""
    deleting: bool = False
    outcome: Literal["Succeeded", "Failed"] | None = None
    """Decided by the Job controller, even if pods still run."""
    outcome_since: datetime | None = None
    outcome_message: str = ""


@dataclass(frozen=True, kw_only=True)
class Blocker:
    """Why an object could not be created or applied."""

    reason: Literal["NameConflict", "Refused"]
    message: str


@dataclass(frozen=True, kw_only=True)
class ObservedJob:
    """A FineTuneJob and all that belongs to it."""

    job: FineTuneJob
    manifest: Manifest
    """As stored, for the write of its status."""
    jobs: tuple[JobView, ...] = ()
    """Those that it owns."""
    pods: tuple[PodView, ...] = ()
    """Those of all its Jobs."""
    present: Mapping[ObjectName, Manifest]
    """Other children that exist: ConfigMaps, Service, NetworkPolicy."""
    progress: ProgressMessage | None = None
    progress_written: datetime | None = None
    """When its progress was last written to its status by this process."""
    live: bool = False
    """All of this was read from the API server just now."""
    blocker: Blocker | None = None
    """What kept the last round from being carried out."""

    @property
    def uid(self) -> str:
        """The FineTuneJob's uid."""
        uid: str = self.job.metadata["uid"]
        return uid


@dataclass(frozen=True, kw_only=True)
class ObservedDeployment:
    """A ModelDeployment and all that belongs to it."""

    deployment: ModelDeployment
    manifest: Manifest
    """As stored, for the write of its status."""
    source: FineTuneJob | None = None
    """The FineTuneJob that it refers to, if that exists."""
    present: Mapping[ObjectName, Manifest]
    """Children that exist: Deployments, Services, ConfigMaps."""
    live: bool = False
    blocker: Blocker | None = None
