"""Who asks: the credentials that the environment of this process gives for a kind of object storage. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_WAYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "s3://": (
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
        ("AWS_SKIP_SIGNATURE",),
    ),
    "az://": (
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_SAS_TOKEN"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_SKIP_SIGNATURE"),
    ),
}
"""By scheme, the variables that are enough: a Secret, a workload identity, a public bucket. Without them the client would ask the node's metadata address
for the credentials of the node, which are nobody's but the administrator's. The workload identity of Google has no other way than that address."""
_ENDPOINTS = {"s3://": "AWS_ENDPOINT_URL", "gs://": "GOOGLE_BASE_URL", "az://": "AZURE_STORAGE_ENDPOINT"}
_HINTS = {
    "s3://": "name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in secretRef, or give the service account of the pods a role (workload identity); "
    "for a public bucket set AWS_SKIP_SIGNATURE=true in env",
    "gs://": "name a Secret with GOOGLE_SERVICE_ACCOUNT_KEY (the JSON of a key) in secretRef, or give the service account of the pods a Google account (workload identity)",
    "az://": "name a Secret with AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY in secretRef, or set AZURE_STORAGE_ACCOUNT_NAME in env and give the service "
    "account of the pods an identity (workload identity)",
}


def has_credentials(scheme: str, environment: Mapping[str, str]) -> bool:
    """Whether the environment says who asks. scheme: one of `OBJECT_SCHEMES`."""
    ways = _WAYS.get(scheme)
    return ways is None or any(all(environment.get(name) for name in way) for way in ways)


def credentials_hint(scheme: str) -> str:
    """Return how to give credentials."""
    return _HINTS[scheme]


def endpoint_of(scheme: str, environment: Mapping[str, str]) -> str | None:
    """Return the address of the storage where the environment gives one. Raises ValueError for what is no address: the client would end this process."""
    name = _ENDPOINTS[scheme]
    endpoint = environment.get(name)
    if not endpoint:
        return None
    try:
        url = urlsplit(endpoint)
        is_address = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        is_address = False
    if not is_address or url.username or url.query or url.fragment or not endpoint.isascii() or " " in endpoint:
        raise ValueError(
            f"{name} must be the address of the storage, with http or https, and without user and query; for example https://minio.example.com:9000"
        )
    return endpoint
