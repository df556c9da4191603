"""Version v1alpha1 of the custom resources: the only source of the CRDs in `crds/`."""

from tuneloop_api.v1alpha1.fine_tune_job.spec import FineTuneJob, FineTuneJobSpec
from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_api.v1alpha1.model_deployment.spec import ModelDeployment, ModelDeploymentSpec
from tuneloop_api.v1alpha1.model_deployment.status import ModelDeploymentStatus

GROUP = "tuneloop.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "FineTuneJob",
    "FineTuneJobSpec",
    "FineTuneJobStatus",
    "ModelDeployment",
    "ModelDeploymentSpec",
    "ModelDeploymentStatus",
]
