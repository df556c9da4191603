"""The end of a rehearsal that shows nothing: there was no time, no memory or no room for it. The job goes on without."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch.nn.modules.module import register_module_forward_pre_hook

if TYPE_CHECKING:
    from collections.abc import Iterator


class NotRehearsed(Exception):  # noqa: N818  (a state, not a fault)
    """The rehearsal cannot be made here. Its text is the reason."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise NotRehearsed from the next call of any module in the block, once the time is over. A backward pass is not broken off: it takes twice its forward pass."""
    end = time.monotonic() + seconds

    def check(*_: object) -> None:
        if time.monotonic() > end:
            raise NotRehearsed(f"it took longer than {seconds:g} s")

    hook = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        hook.remove()
