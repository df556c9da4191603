"""The command `dev/cluster/cluster`: build, up, down, status."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cluster import binaries, go_toolchain, processes
from cluster.control_plane import ControlPlane, ControlPlaneError


def main() -> int:
    """Run one command and return its exit status."""
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except (ControlPlaneError, binaries.BuildError, go_toolchain.ToolchainError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cluster", description="A real Kubernetes control plane made of plain processes."
    )
    commands = parser.add_subparsers(required=True)
    commands.add_parser(
        "build", help="build the programs, if they are not in the cache, and print their folder"
    ).set_defaults(run=_build)
    for name, run, text in (
        ("up", _up, "start a control plane that stays up until `down`"),
        ("down", _down, "end it"),
        ("status", _status, "show its processes, their memory and processor time"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        command.add_argument(
            "--state", type=Path, required=True, metavar="DIR", help="folder for everything that it writes"
        )
        if run is _up:
            command.add_argument(
                "--port-base", type=int, default=0, help="first of four neighbouring ports (default: free ones)"
            )
            command.add_argument("--audit", action="store_true", help="write DIR/logs/audit.log")
    return parser


def _build(_: argparse.Namespace) -> None:
    print(binaries.ensure(say=lambda line: print(line, file=sys.stderr, flush=True)))


def _up(arguments: argparse.Namespace) -> None:
    ControlPlane(arguments.state, port_base=arguments.port_base, audit=arguments.audit, die_with_parent=False).up()


def _down(arguments: argparse.Namespace) -> None:
    ControlPlane(arguments.state).down()


def _status(arguments: argparse.Namespace) -> None:
    for program in processes.recorded(arguments.state.resolve()):
        memory, processor = program.usage()
        state = (
            f"pid {program.pid:>7}  {memory >> 20:4} MiB  {processor:7.2f} s of processor time"
            if program.alive
            else "ended"
        )
        print(f"{program.name:24} {state}")


if __name__ == "__main__":
    sys.exit(main())
