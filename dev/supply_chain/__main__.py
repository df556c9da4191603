"""`python -m supply_chain locks [--check] | sbom | wheel`: see `make help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from supply_chain import locks
from supply_chain.pins import ROOT


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m supply_chain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("locks", help="write requirements/*.txt from pyproject.toml and constraints.txt")
    write.add_argument("--check", action="store_true", help="only say what is stale; needs no network")
    arguments = parser.parse_args()
    return _check_locks() if arguments.check else _write_locks()


def _check_locks() -> int:
    findings = locks.stale(ROOT)
    for finding in findings:
        print(finding, file=sys.stderr)
    return int(bool(findings))


def _write_locks() -> int:
    try:
        locks.write(uv=Path(sys.executable).with_name("uv"), say=print)
    except locks.LockError as error:
        print(error, file=sys.stderr)
        return 1
    return _check_locks()


if __name__ == "__main__":
    sys.exit(main())
