"""The programs that stand on a page of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

_PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def programs_of(page: str) -> list[str]:
    """Return the programs in Python. page: path in the repository."""
    return _PROGRAM.findall((Path(__file__).parents[2] / page).read_text(encoding="utf-8"))
