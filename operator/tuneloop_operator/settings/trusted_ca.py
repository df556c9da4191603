"""The authorities that the programs in all pods trust: `trustedCA` of the chart."""

from __future__ import annotations

from tuneloop_api.v1alpha1.common import Name
from tuneloop_api.v1alpha1.pod_env import ObjectKey
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import exactly_one


class TrustedCa(SpecModel):
    """A bundle of certificates in a ConfigMap or Secret, which each namespace with jobs or deployments must have."""

    config_map: Name | None = None
    secret: Name | None = None
    key: ObjectKey = "ca.crt"
    """The key that holds the bundle, as PEM text."""

    rules = (exactly_one("config_map", "secret"),)
