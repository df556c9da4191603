"""RunConfig: what the operator tells a stage, as JSON in an immutable ConfigMap mounted at `/etc/tuneloop/run.json`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tuneloop_api.contract.settings import Settings
from tuneloop_api.wire.model import MessageModel
from tuneloop_api.wire.names import Stage as Stage  # noqa: PLC0414  (the type of a field here)

RUN_CONFIG_PATH = "/etc/tuneloop/run.json"


class JobIdentity(MessageModel):
    """The FineTuneJob that a stage works for."""

    namespace: str
    name: str
    uid: str


class Paths(MessageModel):
    """Every path that a stage may use. Local mode rewrites the prefixes; nothing else knows where things lie."""

    claims: dict[str, str]
    """Mount path of each claim: `pvc://CLAIM/PATH` is `claims[CLAIM]/PATH`."""
    feedback: dict[str, str] | None = None
    """Folder of the rows of feedback of each ModelDeployment that a source names, or their address in a bucket; None: no source does. Only for `prepare`."""
    datasets: str
    """Prepared data, one folder per digest."""
    models: str
    """Models taken from the hub."""
    job_dir: Annotated[str, Field(alias="job")]
    """This job's own folder: checkpoints/, artifact/, logs/ and the stage results lie in it."""
    job_uri: str
    """The same folder as `pvc://CLAIM/PATH`, for messages to users."""
    termination_message: str = "/dev/termination-log"


class Rendezvous(MessageModel):
    """Where rank 0 listens."""

    address: str
    port: int


class ProgressEndpoint(MessageModel):
    """Where progress is posted."""

    url: str
    """Full address that `ProgressMessage` is POSTed to."""
    token_path: str
    """File with the bearer token; re-read before each post, since the kubelet rotates it."""
    ca_path: str | None = None
    """Certificate authority of an `https` address."""


class ResultReference(MessageModel):
    """A file on the claim, by path and content."""

    path: str
    sha256: str


class RunConfig(MessageModel):
    """Everything a stage needs to know."""

    version: Literal[1, 2] = 2
    """2: the settings are what was set. 1: every default is filled in, as the trainer of release 0.1.0 expects; that trainer refuses version 2."""
    stage: Stage
    job: JobIdentity
    attempt: int = 0
    """Training attempt from 1; 0 for the other stages."""
    settings: Settings
    config_hash: str
    """Identity of the run (`defaults.config_hash`), computed when the job began."""
    paths: Paths
    rendezvous: Rendezvous | None = None
    """Only for `train`."""
    progress: ProgressEndpoint | None = None
    fresh_run_id: Annotated[str | None, Field(alias="beginsAnew")] = None
    """Names a run that must not go on from the checkpoints of earlier runs: `prepare` removes them once for each name. Only for `prepare`."""
    prepare_result: ResultReference | None = None
    train_result: ResultReference | None = None
    """`prepare.json`, for `train` and `export`; `train.json`, for `export`."""
    micro_batch_size: int | None = None
    """Rows of a micro-batch in place of the planned number, after a GPU ran out of memory. Only for `train`."""
    resume_before: int | None = None
    """Training goes on from a checkpoint of fewer steps, and puts newer ones in quarantine: one of them led to a loss that is not finite. Only for `train`."""
    expected_step: int | None = None
    """Step of the newest checkpoint that the operator knows of. If the trainer finds no checkpoint, it fails and does not begin at step 0. Only for `train`."""
    extended_resources: list[str] | None = None
    """Names of the devices beside GPUs that each pod has, such as those of RDMA. Only for `train`."""

    def to_wire(self) -> dict[str, Any]:
        """Return plain JSON data with the wire's names; of the settings only what was set."""
        return super().to_wire() | {"settings": self.settings.to_wire()}
