"""The command `dev/cluster/cluster`: build, packages, up, down, status, load, share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cluster import binaries, machine, processes
from cluster.control_plane import ControlPlane
from cluster.development import python_mounts
from cluster.errors import ClusterError
from cluster.node import NodeCluster


def main() -> int:
    """Run one command and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.run is _up and (problem := _contradiction(arguments)):
        parser.error(problem)
    try:
        arguments.run(arguments)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster", description="A real Kubernetes made of plain processes.")
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="build programs that are not in the cache, and print their folder")
    build.set_defaults(run=_build)
    build.add_argument(
        "programs",
        nargs="*",
        metavar="PROGRAM",
        help=f"of {', '.join(binaries.PROGRAMS)} (default: those of a control plane)",
    )
    packages = commands.add_parser("packages", help="install the Debian packages that a node needs (root, apt-get)")
    packages.set_defaults(run=_packages)
    _add_up(commands.add_parser("up", help="start a cluster that stays up until `down`"))
    _add_state(commands.add_parser("down", help="end it"), run=_down)
    _add_state(commands.add_parser("status", help="show its processes, their memory and processor time"), run=_status)
    load = commands.add_parser("load", help="import an image archive (docker save) into the node")
    _add_state(load, run=_load)
    load.add_argument("archive", type=Path, nargs="+", metavar="TAR")
    share = commands.add_parser("share", help="make a claim on a folder of this machine that many pods can mount")
    _add_state(share, run=_share)
    share.add_argument("claim", metavar="CLAIM")
    share.add_argument("folder", type=Path, metavar="FOLDER", help="made if it is missing")
    share.add_argument("--namespace", default="default", help="must exist (default: default)")
    return parser


def _add_state(command: argparse.ArgumentParser, *, run: object) -> None:
    command.set_defaults(run=run)
    command.add_argument(
        "--state", type=Path, required=True, metavar="DIR", help="folder for everything that it writes"
    )


def _add_up(up: argparse.ArgumentParser) -> None:
    _add_state(up, run=_up)
    up.add_argument("--audit", action="store_true", help="write DIR/logs/audit.log")
    up.add_argument("--port-base", type=int, default=0, help="without --node: first of four ports (default: free ones)")
    up.add_argument("--node", action="store_true", help="with a node on which pods run (root)")
    up.add_argument(
        "--mount", type=_mount, action="append", default=[], metavar="HOST=PATH",
        help="with --node: show a folder of this machine in every container, read-only; can be repeated",
    )  # fmt: skip
    up.add_argument(
        "--python", type=Path, metavar="VENV",
        help="with --node: mount this environment's packages and this tree's code where the development image looks",
    )  # fmt: skip
    up.add_argument("--gpus", type=int, default=0, help="with --node: nvidia.com/gpu that the node claims to have")


def _mount(text: str) -> tuple[str, Path]:
    folder, separator, place = text.rpartition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST=PATH")
    return place, Path(folder)


def _contradiction(arguments: argparse.Namespace) -> str:
    """Return which options of `up` do not go together; an empty string if all do."""
    if arguments.node:
        return "--port-base: only without --node" if arguments.port_base else ""
    given = {"--mount": arguments.mount, "--python": arguments.python, "--gpus": arguments.gpus}
    names = [name for name, value in given.items() if value]
    return f"{' and '.join(names)}: only with --node" if names else ""


def _build(arguments: argparse.Namespace) -> None:
    if unknown := set(arguments.programs) - set(binaries.PROGRAMS):
        raise ClusterError(f"no such program: {', '.join(sorted(unknown))}; there are {', '.join(binaries.PROGRAMS)}")
    print(binaries.ensure(*arguments.programs, say=lambda line: print(line, file=sys.stderr, flush=True)))


def _packages(_: argparse.Namespace) -> None:
    machine.install_packages(say=print)


def _up(arguments: argparse.Namespace) -> None:
    if arguments.node:
        code = python_mounts(arguments.python) if arguments.python else {}
        NodeCluster(
            arguments.state,
            mounts=code | dict(arguments.mount),
            gpus=arguments.gpus,
            audit=arguments.audit,
            die_with_parent=False,
        ).up()
        return
    ControlPlane(arguments.state, port_base=arguments.port_base, audit=arguments.audit, die_with_parent=False).up()


def _down(arguments: argparse.Namespace) -> None:
    NodeCluster(arguments.state).down()  # does nothing where there is no node
    ControlPlane(arguments.state).down()


def _load(arguments: argparse.Namespace) -> None:
    for archive in arguments.archive:
        NodeCluster(arguments.state).load_image(archive)


def _share(arguments: argparse.Namespace) -> None:
    NodeCluster(arguments.state).share(arguments.claim, arguments.folder, namespace=arguments.namespace)


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
