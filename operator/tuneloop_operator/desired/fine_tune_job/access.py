"""What opens the hub and buckets for `prepare`: variables whose values the kubelet reads from Secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.names import HUB_TOKEN
from tuneloop_api.wire.object_credentials import CREDENTIALS
from tuneloop_api.wire.uris import HUB_SCHEME
from tuneloop_operator.desired.common.environment import from_secret
from tuneloop_operator.settings.pod_defaults import PodDefaults

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import FineTuneJobSpec
    from tuneloop_operator.settings.operator import OperatorSettings

TOKEN_KEY = "token"  # noqa: S105  (the default key of `model.secretRef`)


def access_variables(spec: FineTuneJobSpec, settings: OperatorSettings) -> list[dict[str, Any]]:
    """Return the variables of `prepare` for all Secrets that the job's model and sources name.

    Where a bucket is may stand in `env`, too, and wins there over the Secret: that needs no secret.
    """
    given = {variable.name for variable in (*((settings.pod_defaults or PodDefaults()).env or ()), *(spec.env or ()))}
    variables = []
    token = spec.model.secret_ref
    if token and spec.model.uri.startswith(HUB_SCHEME):
        variables.append(from_secret(HUB_TOKEN, secret=token.name, key=token.key or TOKEN_KEY))
    for scheme, secret in spec.bucket_secrets.items():
        names = CREDENTIALS[scheme]
        variables += [from_secret(name, secret=secret, key=name) for name in names.required]
        further = (*names.optional, *(name for name in names.places if name not in given))
        variables += [from_secret(name, secret=secret, key=name, is_optional=True) for name in further]
    return variables
