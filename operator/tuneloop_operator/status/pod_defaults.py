"""What the pods of an object get from the administrator, for `status.resolved`: names, never the values of variables. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.settings.pod_defaults import PodDefaults

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.pods import Toleration
    from tuneloop_operator.settings.operator import OperatorSettings

POD_DEFAULTS = "podDefaults"
"""Key of `status.resolved`."""
_MOST_SHOWN = 20


def with_pod_defaults(resolved: dict[str, Any] | None, settings: OperatorSettings) -> dict[str, Any] | None:
    """Return `status.resolved` with what the pods that are made now get from the chart; without the entry if they get nothing."""
    others = {name: value for name, value in (resolved or {}).items() if name != POD_DEFAULTS}
    given = _given(settings)
    return others | ({POD_DEFAULTS: given} if given else {}) or None


def _given(settings: OperatorSettings) -> dict[str, Any]:
    defaults, trusted = settings.pod_defaults or PodDefaults(), settings.trusted_ca
    shown = {
        "nodeSelector": _short([f"{key}={value}" for key, value in (defaults.node_selector or {}).items()]),
        "tolerations": _short(list(map(_toleration, defaults.tolerations or ()))),
        "imagePullSecrets": _short([secret.name for secret in defaults.image_pull_secrets or ()]),
        "env": _short([variable.name for variable in defaults.env or ()]),
        "trustedCA": (trusted.config_map or trusted.secret) if trusted else None,
    }
    return {name: value for name, value in shown.items() if value}


def _toleration(toleration: Toleration) -> str:
    """Return a toleration as `kubectl taint` writes taints: KEY=VALUE:EFFECT."""
    value = f"={toleration.value}" if toleration.value else ""
    return f"{toleration.key or '*'}{value}{f':{toleration.effect}' if toleration.effect else ''}"


def _short(entries: list[str]) -> list[str]:
    more = len(entries) - _MOST_SHOWN
    return [*entries[:_MOST_SHOWN], f"and {more} more"] if more > 0 else entries
