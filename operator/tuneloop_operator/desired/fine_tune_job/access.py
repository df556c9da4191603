"""What opens the hub and buckets for `prepare`: variables whose values the kubelet reads from Secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.names import HUB_TOKEN
from tuneloop_api.wire.uris import HUB_SCHEME
from tuneloop_operator.desired.common.bucket_access import bucket_variables
from tuneloop_operator.desired.common.environment import from_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.v1alpha1 import FineTuneJobSpec
    from tuneloop_operator.settings.operator import OperatorSettings

TOKEN_KEY = "token"  # noqa: S105  (the default key of `model.secretRef`)


def access_variables(
    spec: FineTuneJobSpec, settings: OperatorSettings, *, feedback_secrets: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the variables of `prepare` for all Secrets that the job's model and sources name, and those that open the buckets of feedback, by scheme."""
    variables = []
    token = spec.model.secret_ref
    if token and spec.model.uri.startswith(HUB_SCHEME):
        variables.append(from_secret(HUB_TOKEN, secret=token.name, key=token.key or TOKEN_KEY))
    return variables + bucket_variables({**feedback_secrets, **spec.bucket_secrets}, spec, settings)
