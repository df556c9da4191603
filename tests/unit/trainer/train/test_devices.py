"""GPUs that a pod holds and torch cannot see end the run at once."""

from __future__ import annotations

import pytest

from tuneloop_trainer.engine.devices import require_devices
from tuneloop_trainer.errors import ConfigError


@pytest.mark.parametrize(("wanted", "visible"), [(0, 0), (0, 8), (1, 1), (4, 8)])
def test_enough_devices_are_fine(wanted, visible):
    require_devices(wanted, visible=visible)


@pytest.mark.parametrize(
    ("wanted", "visible", "says"),
    [(1, 0, "1 GPU belongs to this pod, and torch sees none"), (8, 7, "8 GPUs belong to this pod, and torch sees 7")],
)
def test_too_few_are_named_with_what_to_look_at(wanted, visible, says):
    with pytest.raises(ConfigError, match=f"resources.gpusPerNode: {says}") as refused:
        require_devices(wanted, visible=visible)
    assert "device plugin" in refused.value.hint
    assert "runtimeClassName" in refused.value.hint
