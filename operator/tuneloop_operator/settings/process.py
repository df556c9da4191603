"""Settings of the operator's process: what it watches, where it listens, which pod it is."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode

from tuneloop_operator.names import NAMESPACE_LEASE
from tuneloop_operator.prometheus import address
from tuneloop_operator.settings.environment import explained, read, refuse_unknown, setting
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_PORT = "a port number from 1 to 65535"
_NAME = "the name of a Kubernetes object"


def _split(value: object) -> object:
    return tuple(filter(None, re.split(r"[,\s]+", value))) if isinstance(value, str) else value


def _address(value: str) -> str:
    return str(ip_address(value))


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


_Namespace = Annotated[str, StringConstraints(pattern=_LABEL, max_length=63)]


class ProcessSettings(BaseModel):
    """Settings of one operator process on which no decision depends."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    namespaces: Annotated[tuple[_Namespace, ...], NoDecode, BeforeValidator(_split)] = setting(
        (), allowed="namespaces with commas between them", example="team-a,team-b"
    )
    """Namespaces to watch, with commas between them; empty: all."""
    tls_directory: Path = setting(Path("/etc/tuneloop/tls"), allowed="a folder", example="/etc/tuneloop/tls")
    """Folder with tls.crt, tls.key and ca.crt of both HTTPS ports; ca.crt is handed to the pods."""
    progress_port: int = setting(8443, allowed=_PORT, example="8443", ge=1, le=65535)
    """Port of the progress server (HTTPS)."""
    router_port: int = setting(8444, allowed=_PORT, example="8444", ge=1, le=65535)
    """Port at which routers ask for their split (HTTPS)."""
    health_port: int = setting(8081, allowed=_PORT, example="8081", ge=1, le=65535)
    """Port of /healthz and /readyz (plain HTTP)."""
    metrics_port: int = setting(8080, allowed=_PORT, example="8080", ge=1, le=65535)
    """Port of /metrics (plain HTTP, Prometheus text)."""
    pod_namespace: str = setting(allowed="a namespace", example="tuneloop-system", pattern=_LABEL, max_length=63)
    """Namespace of this pod, from the downward API: the Lease and the EndpointSlice are there."""
    pod_name: str = setting(allowed=_NAME, example="tuneloop-operator-0", pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    """Name of this pod, from the downward API: its identity in the Lease."""
    pod_ip: Annotated[str, AfterValidator(_address)] = setting(allowed="an IP address", example="10.0.0.7")
    """Address of this pod, from the downward API: pods and routers turn to it while it leads."""
    lease_name: str = setting(
        "tuneloop-operator",
        allowed=f"{_NAME} other than {NAMESPACE_LEASE}",
        example="tuneloop-operator",
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    )
    """Lease that tells which replica leads."""
    namespace_lease_seconds: float = setting(
        900.0, allowed="a number of seconds from 10 to 86400", example="900", ge=10, le=86400, allow_inf_nan=False
    )
    """How long another release waits before it acts in a namespace whose release has ended; a Lease is renewed every third of it."""
    progress_service: str = setting(
        "tuneloop-progress", allowed="the name of a Service", example="tuneloop-progress", pattern=_LABEL, max_length=63
    )
    """Service without a selector whose EndpointSlice (same name) the leader writes."""
    progress_authentication: Literal["TokenReview", "JWKS"] = setting(
        "TokenReview", allowed="TokenReview or JWKS", example="TokenReview"
    )
    """How the token of a progress post or of a router is checked: the API server is asked, or its public keys are read, which needs no right in the cluster."""
    jwks_file: Path | None = setting(
        None,
        allowed="a file with a JWK set, together with TUNELOOP_TOKEN_ISSUER",
        example="/etc/tuneloop/jwks/jwks.json",
    )
    """With JWKS: a file with the keys; unset, they are read from the API server."""
    token_issuer: str | None = setting(
        None,
        allowed="an https address, together with TUNELOOP_JWKS_FILE",
        example="https://kubernetes.default.svc",
        pattern=r"^https://\S+$",
        max_length=1024,
        validate_default=True,
    )
    """With a file of keys: who issues the tokens (`--service-account-issuer` of the API server)."""
    prometheus_url: Annotated[str, AfterValidator(address.checked_address)] | None = setting(
        None, allowed=address.ALLOWED, example=address.EXAMPLE
    )
    """Prometheus that gates and triggers ask; unset: those that need it have no data."""
    prometheus_token_file: Path | None = setting(
        None,
        allowed="a file, together with TUNELOOP_PROMETHEUS_URL of https or of this machine (http would show the token to the network)",
        example="/var/run/secrets/tuneloop-prometheus/token",
    )
    """File with the bearer token for Prometheus, read again for each query."""
    prometheus_ca_file: Path | None = setting(
        None,
        allowed="a file, together with TUNELOOP_PROMETHEUS_URL of https",
        example="/etc/tuneloop/prometheus/ca.crt",
    )
    """PEM file of the authorities that are trusted for Prometheus; unset: those of the image, or of `trustedCA`."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = setting(
        "INFO", allowed="DEBUG, INFO, WARNING or ERROR", example="INFO"
    )
    """Lowest level of the log lines that are written."""
    workers: int = setting(8, allowed="a whole number from 1 to 64", example="8", ge=1, le=64)
    """How many objects are reconciled at the same time; a quarter of them at most is of one namespace."""

    @property
    def release(self) -> str:
        """What all replicas of one release have in common, and no other release has: the Lease of their election."""
        return f"{self.pod_namespace}/{self.lease_name}"

    @field_validator("lease_name")
    @classmethod
    def _is_of_the_election(cls, value: str) -> str:
        if value == NAMESPACE_LEASE:
            raise ValueError("this Lease says which release acts in a namespace")
        return value

    @field_validator("token_issuer")
    @classmethod
    def _is_given_with_a_file(cls, value: str | None, info: ValidationInfo) -> str | None:
        if (value is None) is not (info.data.get("jwks_file") is None):
            raise ValueError("a file of keys and the issuer of tokens are given together")
        return value

    @field_validator("prometheus_token_file")
    @classmethod
    def _cannot_be_read_on_the_way(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and not address.may_get_token(info.data.get("prometheus_url") or ""):
            raise ValueError("a token is sent over https or to loopback only")
        return value

    @field_validator("prometheus_ca_file")
    @classmethod
    def _is_given_with_https(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and not (info.data.get("prometheus_url") or "").startswith("https://"):
            raise ValueError("only https has certificates")
        return value

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings of the process from `TUNELOOP_…` variables.

        Raises SettingsError, also for a variable with our prefix that is a setting neither of the process nor of decisions.
        """
        refuse_unknown(environment, models=(cls, OperatorSettings))
        return read(cls, environment)


def explained_variables() -> Iterator[str]:
    """Yield name, default and meaning of each variable that the program reads."""
    return explained((ProcessSettings, OperatorSettings))
