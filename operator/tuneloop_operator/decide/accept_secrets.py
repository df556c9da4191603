"""Whether the Secrets that open buckets and the hub can be given to one pod, each variable with one value. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.names import HUB_TOKEN
from tuneloop_api.wire.object_credentials import CREDENTIALS
from tuneloop_api.wire.uris import object_path
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop_api.v1alpha1 import FineTuneJobSpec, ModelDeploymentSpec
    from tuneloop_api.v1alpha1.pods import PodOptions


def secret_refusals(spec: FineTuneJobSpec) -> Iterator[Refusal]:
    """Yield the Secrets and variables that would give a variable of `prepare` two values."""
    yield from _two_secrets(spec)
    fields = {
        name: field.removeprefix("spec.")
        for field, uri, _ in spec.addresses_with_secrets
        for name in _credentials_of(uri)
    }
    yield from _given_twice(
        spec, fields, to="prepare", example="alone, so that no other stage gets what the Secret holds"
    )


def server_secret_refusals(spec: ModelDeploymentSpec) -> Iterator[Refusal]:
    """Yield the variables that would have two values in a server that writes feedback to a bucket."""
    storage = spec.feedback.storage if spec.feedback else None
    if storage is not None and storage.uri is not None and storage.secret_ref is not None:
        fields = dict.fromkeys(_credentials_of(storage.uri), "feedback.storage")
        yield from _given_twice(spec, fields, to="servers", example="alone")


def _given_twice(options: PodOptions, fields: Mapping[str, str], *, to: str, example: str) -> Iterator[Refusal]:
    """Yield the variables of `env` that a Secret gives, too. fields: with that Secret, by variable."""
    for number, variable in enumerate(options.env or ()):
        if field := fields.get(variable.name):
            yield Refusal(
                reason="InvalidVariable",
                field=f"spec.env[{number}].name",
                given=repr(variable.name),
                allowed=f"{field}.secretRef gives {to} this variable; leave one of the two out",
                example=f"{field}.secretRef {example}",
            )


def _credentials_of(uri: str) -> tuple[str, ...]:
    """Return the variables that a Secret beside this address gives."""
    place = object_path(uri)
    return (HUB_TOKEN,) if place is None else CREDENTIALS[place.scheme].credentials


def _two_secrets(spec: FineTuneJobSpec) -> Iterator[Refusal]:
    """Yield each address whose Secret differs from that of an earlier address of the same kind of storage."""
    chosen = spec.bucket_secrets
    for field, uri, secret in spec.addresses_with_secrets:
        place = object_path(uri)
        if place is not None and secret != chosen[place.scheme]:
            yield Refusal(
                reason="TwoSecrets",
                field=f"{field}.secretRef.name",
                given=repr(secret),
                allowed=f"one Secret for all {place.scheme} addresses of a job, whose credentials may read them all; an earlier one names {chosen[place.scheme]!r}",
                example=f"secretRef: {{name: {chosen[place.scheme]}}}",
            )
