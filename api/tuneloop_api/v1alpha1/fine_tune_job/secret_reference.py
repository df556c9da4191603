"""Secrets with which `prepare` reads what is not open to everybody."""

from __future__ import annotations

from tuneloop_api.v1alpha1.common import Name
from tuneloop_api.v1alpha1.pod_env import ObjectKey
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.uris import OBJECT_SCHEMES

IN_BUCKET = "self.uri.matches('^(s3|gs|az)://')"
"""`lies_in_bucket` in CEL, of an object with an address."""


def lies_in_bucket(uri: str) -> bool:
    """Whether an address is one of object storage."""
    return uri.startswith(OBJECT_SCHEMES)


class TokenReference(SpecModel):
    """A key of a Secret in this namespace that holds a token."""

    name: Name
    """Name of the Secret in this namespace. For example `hugging-face`."""
    key: ObjectKey | None = None
    """Key in it that holds the token; refused for object storage, where the keys are variables. Default: `token`. For example `HF_TOKEN`."""


class SecretReference(SpecModel):
    """A Secret in this namespace that holds the credentials of object storage."""

    name: Name
    """Name of the Secret in this namespace. For example `reviews-bucket`."""
