"""What an administrator sets for the whole operator."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

TOKEN_DIRECTORY = "/var/run/secrets/tuneloop"  # noqa: S105  (a folder's name)


class OperatorSettings(BaseModel):
    """Settings of one operator process; the program reads them from its environment."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    trainer_image: str = "ghcr.io/tuneloop/trainer:0.1.0"
    """Image of `prepare`, `train` and `export` where the job names none."""
    server_image: str = "ghcr.io/tuneloop/server:0.1.0"
    """Image of model servers where the deployment names none."""
    default_claim: str | None = None
    """Claim of jobs that name none."""
    progress_url: str = "https://tuneloop-progress.tuneloop-system.svc:8443"
    """Address of the progress server, as the pods reach it."""
    progress_ca: str | None = None
    """PEM text of the authority behind an `https` address; it is handed to the pods in their ConfigMap."""
    progress_interval_seconds: float = 10.0
    """Least time between two status writes of a job that change nothing but its progress."""
    progress_writes_per_second: float = 20.0
    """Most status writes a second, over all jobs, that change nothing but progress."""
    token_path: str = f"{TOKEN_DIRECTORY}/token"
    """File in the pods with the token that they post progress with."""
    uid: int = 1000
    """User of every pod; it owns what lies on the claims."""
    gid: int = 1000
    """Group of every pod, and of the volumes' files."""
    image_deadline_seconds: float = 1800.0
    """How long a pod may wait for its image before the job fails."""
    local: bool = False
    """Pods are processes of this machine: `file:///` is allowed, and there are no network policies."""
