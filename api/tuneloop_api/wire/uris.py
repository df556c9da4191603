"""Addresses of models, data and artifacts: `pvc://CLAIM/PATH`, `file:///PATH` (one machine only), `hf://ORG/NAME`, `feedback://DEPLOYMENT`, `job://NAME`."""

from __future__ import annotations

import re
from typing import NamedTuple

CLAIM_SCHEME, FILE_SCHEME, HUB_SCHEME, FEEDBACK_SCHEME = "pvc://", "file://", "hf://", "feedback://"
JOB_SCHEME = "job://"
_CLAIM_URI = re.compile(r"pvc://([^/]+)/(.+)")


class ClaimPath(NamedTuple):
    """A place on a claim."""

    claim: str
    path: str
    """Path inside the claim, without a slash at its begin."""

    @property
    def uri(self) -> str:
        """The address."""
        return f"{CLAIM_SCHEME}{self.claim}/{self.path}"


def claim_path(uri: str) -> ClaimPath | None:
    """Return the place that `pvc://CLAIM/PATH` names; None for another kind of address."""
    match = _CLAIM_URI.fullmatch(uri)
    return ClaimPath(match[1], match[2]) if match else None


def feedback_deployment(uri: str) -> str | None:
    """Return the ModelDeployment that `feedback://DEPLOYMENT` names; None for another kind of address."""
    return uri.removeprefix(FEEDBACK_SCHEME) if uri.startswith(FEEDBACK_SCHEME) else None


def base_job(uri: str) -> str | None:
    """Return the FineTuneJob that `job://NAME` names; None for another kind of address."""
    return uri.removeprefix(JOB_SCHEME) if uri.startswith(JOB_SCHEME) else None
