"""The command line of `dev/images/build.py`."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from images import archive, container, store, targets
from images.errors import ImageError


def main() -> int:
    """Build the requested image, print the path of its archive, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="build.py",
        description="Build an image into a docker archive, without a container engine. An unchanged tree costs seconds.",
    )
    parser.add_argument("target", choices=sorted(targets.TARGETS))
    parser.add_argument("--out", type=Path, metavar="FILE", help="also copy the archive to FILE")
    parser.add_argument("--revision", default="unknown", help="source revision for the image's labels")
    parser.add_argument("--source", default="unknown", help="address of the source for the image's labels")
    parser.add_argument("--install-packages", action="store_true", help="apt-get install what is missing, first")
    parser.add_argument(
        "--run", nargs=argparse.REMAINDER, metavar="COMMAND", help="then run COMMAND in it, with a read-only root"
    )
    arguments = parser.parse_args()
    try:
        if arguments.install_packages:
            store.install_packages(say=_say)
        return _build(arguments)
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _build(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    built = targets.build(arguments.target, revision=arguments.revision, source=arguments.source, say=_say)
    size = archive.read(built.archive).bytes_over(archive.read(built.base_archive))
    _say(f"{arguments.target}: {size / 1e6:.0f} MB over its base, {time.monotonic() - started:.0f} s")
    if arguments.out:
        shutil.copyfile(built.archive, arguments.out)
    print(arguments.out or built.archive, flush=True)
    if not arguments.run:
        return 0
    ended = container.run(built, arguments.run)
    sys.stdout.write(ended.stdout)
    sys.stderr.write(ended.stderr)
    return ended.returncode


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
