"""The console of the live view: its own colours reach the terminal, the control characters of what it shows do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from tuneloop_api.wire.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType
    from rich.segment import Segment


class PrintableConsole(Console):
    """Writes control characters only where rich itself made them."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the parts of what is shown."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
