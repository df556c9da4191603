"""What opens buckets for a container: variables whose values the kubelet reads from Secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.object_credentials import CREDENTIALS
from tuneloop_operator.desired.common.environment import from_secret
from tuneloop_operator.settings.pod_defaults import PodDefaults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.v1alpha1.pods import PodOptions
    from tuneloop_operator.settings.operator import OperatorSettings


def bucket_variables(
    secrets: Mapping[str, str], options: PodOptions, settings: OperatorSettings
) -> list[dict[str, Any]]:
    """Return the variables of these Secrets, one for each kind of object storage, by scheme.

    Where a bucket is may stand in `env`, too, and wins there over the Secret: that needs no secret.
    """
    given = {
        variable.name for variable in (*((settings.pod_defaults or PodDefaults()).env or ()), *(options.env or ()))
    }
    variables = []
    for scheme, secret in secrets.items():
        names = CREDENTIALS[scheme]
        variables += [from_secret(name, secret=secret, key=name) for name in names.required]
        further = (*names.optional, *(name for name in names.places if name not in given))
        variables += [from_secret(name, secret=secret, key=name, is_optional=True) for name in further]
    return variables
