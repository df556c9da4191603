"""Whether the GPUs that a pod holds can be used."""

from __future__ import annotations

from tuneloop_trainer.errors import ConfigError


def require_devices(wanted: int, *, visible: int) -> None:
    """Raise ConfigError if torch sees fewer GPUs than the pod holds: the ranks would train on the CPU, and keep the GPUs from others."""
    if visible >= wanted:
        return
    raise ConfigError(
        f"resources.gpusPerNode: {wanted} GPU{'s' if wanted > 1 else ''} belong{'' if wanted > 1 else 's'} to this pod, and torch sees {visible or 'none'}",
        hint="see whether the device plugin of the node and its driver work, whether scheduling.runtimeClassName names the runtime "
        "for GPUs (often nvidia), and whether the image has a torch for these GPUs",
    )
