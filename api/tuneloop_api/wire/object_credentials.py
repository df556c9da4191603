"""The variables by which `prepare` gets access to object storage. Their names are those of the clouds' own tools, and the keys of a Secret have the same names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CredentialVariables:
    """What a Secret for one kind of object storage holds, by the names of its keys."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    """Further credentials."""
    places: tuple[str, ...] = ()
    """Where the storage is: no secrets, so that `env` may give them, too."""

    @property
    def credentials(self) -> tuple[str, ...]:
        """All that prove who asks."""
        return self.required + self.optional


CREDENTIALS = {
    "s3://": CredentialVariables(
        required=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        optional=("AWS_SESSION_TOKEN",),
        places=("AWS_ENDPOINT_URL", "AWS_REGION"),
    ),
    "gs://": CredentialVariables(required=("GOOGLE_SERVICE_ACCOUNT_KEY",), places=("GOOGLE_BASE_URL",)),
    "az://": CredentialVariables(
        required=("AZURE_STORAGE_ACCOUNT_NAME",),
        optional=(
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
            "AZURE_TENANT_ID",
        ),
        places=("AZURE_STORAGE_ENDPOINT",),
    ),
}
"""By scheme."""
