"""The custom resources that the command line knows, by kind. What each package does with a kind stands in a table of that package."""

from __future__ import annotations

from typing import Literal

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment

CustomKind = Literal["FineTuneJob", "ModelDeployment"]

RESOURCES: dict[CustomKind, type[FineTuneJob | ModelDeployment]] = {
    "FineTuneJob": FineTuneJob,
    "ModelDeployment": ModelDeployment,
}
"""The model that checks a manifest, by kind. The views of a kind: `views.kinds.VIEWS`; its life in local mode: `local.kinds.LOCAL_KINDS`."""
