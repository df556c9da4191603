"""The console of the live view: its own colours reach the terminal; control characters and markup of what it shows do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from tuneloop_api.wire.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType
    from rich.segment import Segment


class PrintableConsole(Console):
    """Writes control characters only where rich itself made them. Text is text: rich would make links of `[link=…]` in a label."""

    def __init__(self, **options: Any) -> None:
        """options: those of rich's console."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the parts of what is shown."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
