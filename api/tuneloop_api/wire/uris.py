"""Addresses of models, data and artifacts.

`pvc://CLAIM/PATH`, `file:///PATH` (one machine only), `hf://ORG/NAME`, `s3://BUCKET/PATH`, `gs://BUCKET/PATH`, `az://CONTAINER/PATH`, `feedback://DEPLOYMENT`, `job://NAME`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

CLAIM_SCHEME, FILE_SCHEME, HUB_SCHEME, FEEDBACK_SCHEME = "pvc://", "file://", "hf://", "feedback://"
JOB_SCHEME = "job://"
OBJECT_SCHEMES = ("s3://", "gs://", "az://")
"""Object storage: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage."""
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


class ObjectPath(NamedTuple):
    """A place in object storage."""

    scheme: str
    """One of `OBJECT_SCHEMES`."""
    bucket: str
    """The bucket, or the container of Azure."""
    path: str
    """Name of an object, or of a folder of objects; without a slash at its begin or end."""

    @property
    def uri(self) -> str:
        """The address."""
        return f"{self.scheme}{self.bucket}/{self.path}"


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


def object_path(uri: str) -> ObjectPath | None:
    """Return the place that `s3://BUCKET/PATH`, `gs://BUCKET/PATH` or `az://CONTAINER/PATH` names; None for another kind of address."""
    scheme, separator, rest = uri.partition("://")
    bucket, _, path = rest.partition("/")
    found = ObjectPath(scheme + separator, bucket, path.strip("/"))
    return found if found.scheme in OBJECT_SCHEMES and bucket and found.path else None
