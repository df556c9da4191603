"""What all blocks of settings have in common."""

from __future__ import annotations

from typing import Any

from tuneloop_api.wire.model import MessageModel


class SettingsBlock(MessageModel):
    """A block of settings, which is written without what nobody has set."""

    def to_wire(self) -> dict[str, Any]:
        """Return plain JSON data with the wire's names of what was set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
