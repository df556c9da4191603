"""A page of the documentation whose commands a test runs: the files that the page gives, its named blocks, and the output that it shows.

    <!-- file: job.yaml -->        before a yaml block: the reader saves the block under this name
    <!-- story: apply -->          before a bash block: a name for the test
    ```text                        after a bash block: lines that the commands print, in this order

In a shown line `…` stands for any characters, and a line of `…` alone for any lines. Ages and the width of columns are not compared.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FILE = re.compile(r"^<!-- file: (?P<name>\S+) -->\n```yaml\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(
    r"^<!-- story: (?P<name>\S+) -->\n```bash\n(?P<commands>.*?)^```\n(?:```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
_AGE = re.compile(r"(?<![\w.-])(?:\d+[dhms])+(?![\w-])")


@dataclass(frozen=True, kw_only=True)
class Block:
    """Commands of the page that run together."""

    commands: str
    output: str
    """What the page shows of their output; empty: nothing."""


@dataclass(frozen=True, kw_only=True)
class CommandPage:
    """A page, as read."""

    text: str

    @property
    def files(self) -> dict[str, str]:
        """The files that the page gives, by name."""
        return {found["name"]: found["text"] for found in _FILE.finditer(self.text)}

    @property
    def blocks(self) -> dict[str, Block]:
        """The named blocks, in the order of the page."""
        return {
            found["name"]: Block(commands=found["commands"], output=found["output"] or "")
            for found in _BLOCK.finditer(self.text)
        }

    @property
    def fences(self) -> int:
        """How many blocks of commands the page has, with a name or without one."""
        return len(re.findall(r"^```(?:ba|z)?sh\b|^```(?:console|shell)", self.text, re.MULTILINE))


class Reader:
    """Follows a page in a folder of its own, by the names of the blocks."""

    def __init__(self, page: CommandPage, folder: Path, environment: Mapping[str, str]) -> None:
        self.page, self._folder, self._environment = page, folder, dict(environment)
        self.done: list[str] = []
        """The names of the blocks that were run, in order."""
        for name, text in page.files.items():
            (folder / name).write_text(text)

    def follow(self, name: str, *, exit_status: int = 0) -> str:
        """Run the commands of a block until one of them fails; return what they print. The page's own output must be there."""
        block = self.page.blocks[name]
        self.done.append(name)
        status, printed = self.run(block.commands)
        assert status == exit_status, f"{name}: exit status {status}\n{printed}"
        missing = unprinted(block.output, printed)
        assert missing is None, f"{name}: the page shows {missing!r}, and the commands print\n{printed}"
        return printed

    def run(self, commands: str) -> tuple[int, str]:
        """Run commands; return the exit status of the first one that fails, and what all of them print."""
        done = subprocess.run(
            ["bash", "-e", "-u", "-o", "pipefail", "-c", commands],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=240,
        )
        return done.returncode, done.stdout


def unprinted(shown: str, printed: str) -> str | None:
    """Return the first line of a page's output that the commands did not print at its place; None: all were printed."""
    lines = iter(printed.splitlines())
    for line in shown.splitlines():
        if line.strip() != "…" and not any(_pattern(line).fullmatch(_plain(found)) for found in lines):
            return line
    return None


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\s*…\s*", _plain(line))))


def _plain(line: str) -> str:
    """Return a line without the width of its columns, and with one age for all."""
    return _AGE.sub("5s", " ".join(line.split()))
