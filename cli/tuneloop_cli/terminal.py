"""Where text leaves the command line: nothing else prints. What came from data, programs or a cluster cannot steer the terminal.

The live view prints through `console.py`.
"""

from __future__ import annotations

import codecs
import sys
from typing import IO

from tuneloop_api.wire.printable import printable

_PIECE_BYTES = 65_536


def say(text: object) -> None:
    """Print a text on stdout."""
    print(printable(str(text)), flush=True)


def complain(text: object) -> None:
    """Print a text on stderr."""
    print(printable(str(text)), file=sys.stderr)


def show_progress(text: str) -> None:
    """Replace the line on stderr that says how far a command is; empty: take it away. Nothing, where stderr is no terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{printable(text)}")
        sys.stderr.flush()


class Output:
    """Passes the output of a program on: escaped on a terminal, byte by byte into a pipe or a file."""

    def __init__(self, source: IO[bytes]) -> None:
        """source: read from where it stands."""
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def pass_on(self) -> None:
        """Write all that is new."""
        while piece := self._source.read(_PIECE_BYTES):
            if sys.stdout.isatty():
                sys.stdout.write(printable(self._decoder.decode(piece)))
            else:
                sys.stdout.flush()
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
        sys.stdout.flush()
