"""The door of a session: a socket in its folder at which a command of the same user steers a roll-out while the session runs.

The session alone writes objects. It looks whether the command fits, and writes the annotation that a person would write, at the same moment: no
other roll-out can come in between. Request and answer are one JSON line each.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_cli.local.errors import FolderUnusable, NotInThisSession
from tuneloop_cli.steering import refusal
from tuneloop_operator.decide.model_deployment.rollout_facts import COMMAND, MOST_TOKEN_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import datetime

    from tuneloop_cli.local.node import LocalNode
    from tuneloop_operator.cluster import Manifest

_FOLDER, _SOCKET = "door", "socket"
_SECONDS = 10.0
"""For a request or an answer."""


@asynccontextmanager
async def open_door(node: LocalNode, *, clock: Callable[[], datetime]) -> AsyncIterator[None]:
    """Answer commands until the block ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, KeyError, TypeError):  # no command of ours, or it has gone: nobody to tell
            asked = json.loads(await asyncio.wait_for(reader.readline(), _SECONDS))
            answered = _steered(node, asked["name"], asked["command"], now=clock())
            writer.write(json.dumps(answered).encode() + b"\n")
            await writer.drain()
        writer.close()

    folder = node.folders.root / _FOLDER
    server = await asyncio.start_unix_server(answer, sock=_listening(folder))
    try:
        yield
    finally:
        server.close()
        (folder / _SOCKET).unlink(missing_ok=True)


def steer(folder: Path, *, name: str, command: str) -> str:
    """Give a command to the session in a folder; return why it does not fit, or an empty text. Raises NotInThisSession."""
    try:
        with _place(folder / _FOLDER) as path, socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_SECONDS)
            link.connect(path)
            link.sendall(json.dumps({"name": name, "command": command}).encode() + b"\n")
            answered = json.loads(link.makefile("rb").readline())
    except (OSError, ValueError) as error:
        raise NotInThisSession(f"the session in {folder} does not answer ({error}): has it just ended?") from error
    if not answered["runs"]:
        raise NotInThisSession(f"the session in {folder} does not run {name}: it was started with other manifests")
    return str(answered["refusal"])


def _steered(node: LocalNode, name: str, command: str, *, now: datetime) -> dict[str, object]:
    """Write the annotation, if the command fits; return the answer."""
    running = [found for found in node.active("ModelDeployment") if found["metadata"]["name"] == name]
    if not running:
        return {"runs": False}
    deployment, (verb, token_and_revision) = running[0], command.split("/", 1)
    revision = token_and_revision.partition("/")[2]
    problem = _pending(deployment) or refusal(deployment, verb, revision=revision, now=now)
    if not problem:
        annotations = deployment["metadata"].get("annotations", {}) | {COMMAND: command}
        node.cluster.update(deployment | {"metadata": deployment["metadata"] | {"annotations": annotations}})
    return {"runs": True, "refusal": problem}


def _pending(deployment: Manifest) -> str:
    """Return why another command must wait: one is not obeyed yet, and would be lost; empty if there is none."""
    given = deployment["metadata"].get("annotations", {}).get(COMMAND, "")[:MOST_TOKEN_CHARACTERS]
    obeyed = ((deployment.get("status") or {}).get("rollout") or {}).get("commands") or ()
    return f"the operator has not obeyed {given} yet: try again" if given and given not in obeyed else ""


def _listening(folder: Path) -> socket.socket:
    """Return a socket in a folder that only its owner can enter. Raises FolderUnusable."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with _place(folder) as path:
            Path(path).parent.chmod(0o700)
            Path(path).unlink(missing_ok=True)
            listening.bind(path)
    except OSError as error:
        listening.close()
        raise FolderUnusable(f"{folder} is no folder that can be used ({error.strerror}): remove it") from error
    return listening


@contextmanager
def _place(folder: Path) -> Iterator[str]:
    """Yield a path of the socket that is short enough for the kernel, which takes 107 bytes."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)
