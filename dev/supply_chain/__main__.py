"""`python -m supply_chain locks [--check] | sbom | wheel`: see `make help`."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from supply_chain import locks, wheel
from supply_chain.pins import ROOT

DIST = ROOT / "dist"


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m supply_chain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("locks", help="write requirements/*.txt from pyproject.toml and constraints.txt")
    write.add_argument("--check", action="store_true", help="only say what is stale; needs no network")
    commands.add_parser("wheel", help="build the wheel of the last commit into dist/")
    commands.add_parser("sbom", help="write dist/tuneloop-PROGRAM.cdx.json for each program")
    arguments = parser.parse_args()
    if arguments.command == "locks":
        return _check_locks() if arguments.check else _write_locks()
    return _build_wheel() if arguments.command == "wheel" else _write_sboms()


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


def _build_wheel() -> int:
    if changed := wheel.changed_files(ROOT):
        print("commit first, the wheel is that of a commit:", *changed, sep="\n", file=sys.stderr)
        return 1
    try:
        built = wheel.build(ROOT, wheel.tracked_files(ROOT), out=DIST, epoch=wheel.commit_date(ROOT))
    except wheel.WheelError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{hashlib.sha256(built.read_bytes()).hexdigest()}  {built.relative_to(ROOT)}")
    return 0


def _write_sboms() -> int:
    from supply_chain import sbom  # noqa: PLC0415 its libraries load for a second, and the other commands need none of them

    DIST.mkdir(exist_ok=True)
    date = sbom.date_of(wheel.commit_date(ROOT))
    for program in sbom.PROGRAMS:
        path = DIST / f"tuneloop-{program}.cdx.json"
        text = sbom.sbom(program, version=sbom.our_version(), date=date)
        sbom.check(text)
        path.write_text(text)
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
