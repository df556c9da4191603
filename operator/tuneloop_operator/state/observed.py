"""What was observed of an object and its children, as frozen values: the whole input of a decision. No I/O is done here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from tuneloop_api.contract.defaults import with_defaults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_api.contract.run_config import Stage
    from tuneloop_api.contract.settings import Settings
    from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
    from tuneloop_operator.cluster import Kind, Manifest
    from tuneloop_operator.state.gate_inputs import BaselineAnswer, ComparatorReply, QueryAnswer
    from tuneloop_operator.state.router_report import RouterReport

CREATING = "ContainerCreating"
"""Reason of a waiting container while the kubelet mounts volumes and pulls the image."""
STARTS = frozenset({CREATING, "PodInitializing"})
"""Reasons of a waiting container with which nothing is wrong."""
ObjectName = tuple["Kind", str]
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""Time of an object without one."""


@dataclass(frozen=True, kw_only=True)
class ContainerEnd:
    """How a pod's container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""
    """The termination message; the end of the log if the container wrote none."""
    finished: datetime


@dataclass(frozen=True, kw_only=True)
class ObservedPod:
    """What counts of every pod of ours: the state of our own container, and why it does not run."""

    name: str
    uid: str = ""
    created: datetime = LONG_AGO
    ready: bool = False
    node: str | None = None
    """The node on which it runs."""
    ended: ContainerEnd | None = None
    """How our container ended; of a server, how it last ended."""
    waiting: str = ""
    """Why the container does not run yet, in one word of the kubelet, which may mean that nothing is wrong (`STARTS`)."""
    waiting_message: str = ""
    unschedulable: str = ""
    mount_failure: str | None = None
    """Why the kubelet cannot mount a volume. Empty: no reason. None: not read."""


@dataclass(frozen=True, kw_only=True)
class PodView(ObservedPod):
    """One pod of a stage."""

    stage: Stage
    attempt: int
    owner: str
    """The uid of its Job."""
    index: int = 0
    """Completion index: the node's rank."""
    phase: str = "Pending"
    reason: str = ""
    """`status.reason`: why the kubelet or the node controller ended the pod."""
    message: str = ""
    image: str = ""
    """The image that the runtime resolved; with a digest if the runtime knows one."""
    started: datetime | None = None
    """When the container began to run."""
    disruption: str = ""
    """Reason of the DisruptionTarget condition."""
    deletion_asked: datetime | None = None
    """When the deletion was requested."""
    gone_by: datetime | None = None
    """When the grace period of its deletion is over."""
    is_outlived: bool = False
    """Whether our container has ended, and a container of somebody else keeps the pod from ending."""

    @property
    def is_terminal(self) -> bool:
        """Whether no process of ours can run in the pod any more."""
        return self.is_outlived or self.phase in {"Succeeded", "Failed"}


@dataclass(frozen=True, kw_only=True)
class ServerPod(ObservedPod):
    """One pod of a model server. Its container is started again whenever it ends."""

    revision: str
    restarts: int = 0
    """How often its container was started again, and the check of the artifact before it."""
    port: int | None = None
    """Where it listens on this machine, in local mode; None: at the port of all servers."""


@dataclass(frozen=True, kw_only=True)
class RouterPod(ObservedPod):
    """One pod that divides the requests of a deployment."""


@dataclass(frozen=True, kw_only=True)
class ComparatorPod(ObservedPod):
    """The pod that compares two revisions."""

    port: int | None = None
    """Where it takes copies of requests on this machine, in local mode; None: at the port of all comparators."""


@dataclass(frozen=True, kw_only=True)
class JobView:
    """The Job of one stage."""

    name: str
    uid: str
    stage: Stage
    attempt: int
    created: datetime
    started: datetime | None = None
    """When the Job controller last started the Job: after its creation, or after a queue admitted it. None while the Job is suspended, and
    until the Job controller has handled it."""
    suspended: bool = False
    """By somebody else, such as Kueue. Stays True after a resume until the Job controller has handled the resume."""
    missing_pods: int = 0
    """How many pods the Job controller still has to create; 0 while the Job is suspended, deleted or over."""
    refusal: str | None = None
    """Why the API server refused to create a pod of the Job: quota, LimitRange, Pod Security, webhook. Empty: no refusal. None: not read."""
    deleting: bool = False
    outcome: Literal["Succeeded", "Failed"] | None = None
    """Declared by the Job controller, or shown by our containers alone if `is_outlived`; pods may still run."""
    outcome_since: datetime | None = None
    outcome_message: str = ""
    is_outlived: bool = False
    """Whether our containers show the outcome, and containers of others keep the Job's pods running until the Job is deleted."""


@dataclass(frozen=True, kw_only=True)
class Blocker:
    """Why a child could not be created or applied."""

    reason: Literal["NameConflict", "Refused"]
    message: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the reconciler gathered for one decision, and what it remembers of the object."""

    live: bool = False
    """Whether object and children were read from the API server just now."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """By the uid of a Job: why the API server refused to create a pod of it; empty if it refused none."""
    mount_failures: Mapping[str, str] = field(default_factory=dict)
    """By the uid of a pod: why the kubelet cannot mount a volume of it; empty if there is no reason."""
    progress_written: datetime | None = None
    """When this process last wrote progress, or counts, to the status."""
    blocker: Blocker | None = None
    """What kept the last decision from being carried out."""


@dataclass(frozen=True, kw_only=True)
class ObservedJob:
    """A FineTuneJob and its children."""

    job: FineTuneJob
    manifest: Manifest
    """The object as stored, for the write of its status."""
    jobs: tuple[JobView, ...] = ()
    """The Jobs that it owns."""
    pods: tuple[PodView, ...] = ()
    """The pods of all its Jobs, also of the last Job that is gone."""
    present: Mapping[ObjectName, Manifest]
    """Other children that exist, by kind and name: ConfigMaps, Service, NetworkPolicy."""
    feedback_deployments: Mapping[str, ModelDeployment | str] = field(default_factory=dict)
    """The ModelDeployments whose feedback it reads, by name; for one that cannot be read the reason. One that does not exist is absent."""
    base_job: FineTuneJob | str | None = None
    """The FineTuneJob whose model it begins with (`job://NAME`), or why that cannot be read; None if it names none, or if there is none."""
    progress: ProgressMessage | None = None
    progress_written: datetime | None = None
    """When this process last wrote progress to the status."""
    live: bool = False
    """Whether object and children were read from the API server just now."""
    blocker: Blocker | None = None
    """What kept the last decision from being carried out."""

    @property
    def uid(self) -> str:
        """The FineTuneJob's uid."""
        uid: str = self.job.metadata["uid"]
        return uid

    @cached_property
    def settings(self) -> Settings:
        """The spec with all defaults. A decision needs it several times; to compute it takes as long as the rest of the decision."""
        return with_defaults(self.job.spec)


@dataclass(frozen=True, kw_only=True)
class ObservedDeployment:
    """A ModelDeployment, its children, and the FineTuneJob that it refers to."""

    deployment: ModelDeployment
    manifest: Manifest
    """The object as stored, for the write of its status."""
    source: FineTuneJob | None = None
    """None if it refers to no FineTuneJob, or if that does not exist or cannot be read."""
    source_problem: str = ""
    """Why the FineTuneJob cannot be read; empty if it can."""
    adapter_sources: Mapping[str, FineTuneJob | str] = field(default_factory=dict)
    """The FineTuneJobs that its adapters refer to, by name; for one that cannot be read the reason. One that does not exist is absent."""
    retraining_jobs: Mapping[str, FineTuneJob | str] = field(default_factory=dict)
    """The template of its runs, and the jobs of the newest two, by name. For one that cannot be read the reason. One that does not exist is absent."""
    retraining_graph: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The names of those from which its runs learn, and the same of each of those that retrains, and so on."""
    feedback_deployments: Mapping[str, ModelDeployment | str] = field(default_factory=dict)
    """The ModelDeployments whose feedback a run of it would read, by name; for one that cannot be read the reason. One that does not exist is absent."""
    runs_elsewhere: int = 0
    """Runs of retraining of other deployments, in all namespaces, whose jobs are at work."""
    present: Mapping[ObjectName, Manifest]
    """Children that exist, by kind and name: Deployments, Services, ConfigMaps."""
    pods: tuple[ServerPod, ...] = ()
    """The pods of all revisions, by name."""
    router_pods: tuple[RouterPod, ...] = ()
    """The pods of the routers in which a process may run, by name."""
    comparator_pods: tuple[ComparatorPod, ...] = ()
    """The pods of the comparator in which a process may run, by name."""
    routers: tuple[RouterReport, ...] = ()
    """What each router last reported, by name; also of some that are gone."""
    comparison: ComparatorReply | None = None
    """What the comparator last said; None: nothing yet."""
    query_answers: tuple[QueryAnswer, ...] = ()
    """What Prometheus last answered to the queries of gates."""
    baseline_answer: BaselineAnswer | None = None
    """What it last answered about the baseline window; None: nothing yet."""
    progress_written: datetime | None = None
    """When this process last wrote to the status what was counted in a step."""
    live: bool = False
    blocker: Blocker | None = None
