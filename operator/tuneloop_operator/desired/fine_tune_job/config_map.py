"""The ConfigMap of a stage. It has the name of the stage's Job and is immutable. A later run with other settings gets a new ConfigMap."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_api.wire.canonical import digest_of
from tuneloop_operator.desired.common.metadata import job_labels, owned_metadata
from tuneloop_operator.desired.fine_tune_job.run_config import CA_FILE, run_config
from tuneloop_operator.names import DATA_DIGEST, job_name

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import Stage
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.desired.common.storage import JobStorage
    from tuneloop_operator.settings.operator import OperatorSettings


def run_config_map(
    job: FineTuneJob, *, stage: Stage, attempt: int, storage: JobStorage, settings: OperatorSettings
) -> Manifest:
    """Return the ConfigMap that holds `run.json`, and the authority of the progress server if the settings name one."""
    config = run_config(job, stage=stage, attempt=attempt, storage=storage, settings=settings)
    data = {"run.json": json.dumps(config.to_wire(), indent=1, ensure_ascii=False)}
    if settings.progress_ca:
        data[CA_FILE] = settings.progress_ca
    metadata = owned_metadata(
        job,
        name=job_name(job, stage=stage, attempt=attempt),
        labels=job_labels(job, stage=stage, attempt=attempt),
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata | {"annotations": {DATA_DIGEST: digest_of(data)}},
        "immutable": True,
        "data": data,
    }
