"""The changes of `known.toml`: at some time no test noticed them. Each names a kind of change that tests must notice."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mutants.packages import ROOT

FILE = Path(__file__).with_name("known.toml")


@dataclass(frozen=True)
class Known:
    """One row of the file."""

    id: str
    file: str
    package: str
    """Whose tests are to notice it."""
    code: str
    """A text that stands in the file once."""
    changed: str

    def apply(self, source: str) -> str:
        """Return the changed source. Raises LookupError if the code is not there exactly once: then this row is out of date."""
        if (found := source.count(self.code)) != 1:
            raise LookupError(f"{self.id}: the code stands {found} times in {self.file}, not once: {self.code!r}")
        return source.replace(self.code, self.changed)

    @property
    def line(self) -> int:
        source = (ROOT / self.file).read_text()
        return source.count("\n", 0, source.index(self.code)) + 1


def known_changes() -> list[Known]:
    """Return the rows of the file."""
    rows = tomllib.loads(FILE.read_text())["change"]
    return [Known(**row) for row in rows]
