"""Settings of the whole operator on which decisions depend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tuneloop_operator.settings.egress import Destination
from tuneloop_operator.settings.environment import read, setting
from tuneloop_operator.settings.pod_defaults import PodDefaults
from tuneloop_operator.settings.trusted_ca import TrustedCa

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_DIRECTORY = "/var/run/secrets/tuneloop"  # noqa: S105  (a folder's name)
_PLATFORM = "platform"
_ID = f"a whole number from 1 to 2147483647, or {_PLATFORM}, which leaves the choice to the platform"
_SECONDS = "a number of seconds from 0.1 to 86400"
_IMAGE = "an image reference without spaces"
_UserOrGroup: TypeAlias = Annotated[
    Annotated[int, Field(ge=1, le=2**31 - 1)] | None,
    BeforeValidator(lambda value: None if value == _PLATFORM else value),
]


class OperatorSettings(BaseModel):
    """Settings of one operator process; the program reads them from its environment."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    trainer_image: str = setting(
        "ghcr.io/tuneloop/trainer:0.1.0",
        allowed=_IMAGE,
        example="registry.example.com/tuneloop/trainer:0.1.0",
        pattern=r"^\S+$",
    )
    """Image of `prepare`, `train` and `export` if the job names none."""
    server_image: str = setting(
        "ghcr.io/tuneloop/server:0.1.0",
        allowed=_IMAGE,
        example="registry.example.com/tuneloop/server:0.1.0",
        pattern=r"^\S+$",
    )
    """Image of model servers if the deployment names none."""
    router_image: str = setting(
        "ghcr.io/tuneloop/router:0.1.0",
        allowed=_IMAGE,
        example="registry.example.com/tuneloop/router:0.1.0",
        pattern=r"^\S+$",
    )
    """Image of the routers that divide the requests of a deployment."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = setting(
        None, allowed="Always, IfNotPresent or Never", example="IfNotPresent"
    )
    """imagePullPolicy of trainer, server and router pods; unset, it is the cluster's choice."""
    pod_defaults: PodDefaults | None = setting(
        None,
        allowed="JSON with any of nodeSelector, tolerations, imagePullSecrets, labels, annotations and env, and no key or variable of ours",
        example='{"nodeSelector": {"pool": "ml"}}',
    )
    """Fields of all trainer and server pods, as JSON; what an object says itself is added, and wins."""
    egress: tuple[Destination, ...] | None = setting(
        None,
        allowed="JSON: a list of places, each with any of cidr (and except) or namespace, and ports",
        example='[{"cidr": "10.0.0.0/8", "ports": [443]}, {"namespace": "minio", "ports": [9000]}]',
    )
    """Where all pods may connect to beside DNS and their own gang, as JSON; unset: everywhere."""
    allow_host_network: bool = setting(False, allowed="true or false", example="true")
    """Whether jobs may have their training pods use the network of the nodes (`scheduling.hostNetwork`)."""
    max_parallel_retrainings: int | None = setting(
        None, allowed="a whole number from 1 to 10000", example="4", ge=1, le=10_000
    )
    """Most runs of retraining, of all deployments, whose jobs are at work at once; unset: any number."""
    disruption_budgets: bool = setting(True, allowed="true or false", example="false")
    """Whether servers and routers get PodDisruptionBudgets. Kubernetes evicts no pod that two budgets select."""
    trusted_ca: TrustedCa | None = setting(
        None,
        allowed="JSON with configMap or secret, the name of an object in the namespaces of jobs, and key",
        example='{"configMap": "company-ca", "key": "ca.crt"}',
    )
    """Bundle of certificates that the programs of all trainer and server pods trust in place of the image's, as JSON."""
    default_claim: str | None = setting(
        None,
        allowed="the name of a PersistentVolumeClaim",
        example="models",
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        max_length=253,
    )
    """Claim of jobs that name none."""
    progress_url: str = setting(
        "https://tuneloop-progress.tuneloop-system.svc:8443",
        allowed="an http or https address without a path",
        example="https://tuneloop-progress.tuneloop-system.svc:8443",
        pattern=r"^https?://[^\s/]+$",
    )
    """Address at which the pods reach the progress server."""
    router_url: str = setting(
        "https://tuneloop-progress.tuneloop-system.svc:8444",
        allowed="an http or https address without a path",
        example="https://tuneloop-progress.tuneloop-system.svc:8444",
        pattern=r"^https?://[^\s/]+$",
    )
    """Address at which routers ask for their split."""
    progress_ca: str | None = None
    """PEM text of the authority of both `https` addresses. The pods get it in their ConfigMap."""
    progress_interval_seconds: float = setting(
        10.0, allowed=_SECONDS, example="10", ge=0.1, le=86400, allow_inf_nan=False
    )
    """Shortest time between two status writes of a job that change only its progress; twice as long for the counts of a roll-out."""
    progress_writes_per_second: float = setting(
        20.0, allowed="a number from 0.1 to 1000", example="20", ge=0.1, le=1000, allow_inf_nan=False
    )
    """Most status writes a second, over all jobs, that change only progress."""
    token_path: str = f"{TOKEN_DIRECTORY}/token"
    """File in the pods with the token for their progress messages."""
    uid: _UserOrGroup = setting(1000, allowed=_ID, example="1000")
    """User of every pod, who owns the files on the claims; None: the platform chooses one for each namespace, as OpenShift does."""
    gid: _UserOrGroup = setting(1000, allowed=_ID, example="1000")
    """Group of every pod, and of the volumes' files; None as above."""
    start_deadline_seconds: float = setting(
        1800.0, allowed=_SECONDS, example="1800", ge=0.1, le=86400, allow_inf_nan=False
    )
    """How long the pods of a run may take to start (room, image, admission) before the job fails, if the job does not say."""
    has_prometheus: bool = False
    """Whether there is a Prometheus to ask; the process knows where (TUNELOOP_PROMETHEUS_URL)."""
    local: bool = False
    """Pods are processes of this machine: `file:///` is allowed, and there are no network policies."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from `TUNELOOP_…` variables. Raises SettingsError."""
        return read(cls, environment)

    @property
    def has_budgets(self) -> bool:
        """Whether servers and routers get PodDisruptionBudgets: in a cluster, unless the administrator has others."""
        return self.disruption_budgets and not self.local

    def with_prometheus(self, *, is_set: bool) -> Self:
        """Return the settings of an operator that has a Prometheus to ask, or has none."""
        return self.model_validate(dict(self) | {"has_prometheus": is_set})

    def with_progress_ca(self, pem: str) -> Self:
        """Return the settings with another authority of the progress server."""
        return self.model_validate(dict(self) | {"progress_ca": pem})
