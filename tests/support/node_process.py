"""A LocalNode in a process of its own, to be killed: `python -m node_process FOLDER MANIFESTS_JSON [WRITES]`; prints `ready` once it runs.

With WRITES, the process kills itself right after that many writes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from itertools import count
from pathlib import Path

from tuneloop_cli.local.errors import LocalError
from tuneloop_cli.local.node import LocalNode


async def _run(folder: Path, manifests: list[dict[str, object]], writes: int) -> None:
    async with LocalNode(folder) as node:
        numbers = count(1)
        node.cluster.subscribe(lambda *_: os.kill(os.getpid(), signal.SIGKILL) if next(numbers) == writes else None)
        node.start()
        for manifest in manifests:
            await node.cluster.create(manifest)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(_run(Path(sys.argv[1]), json.loads(sys.argv[2]), int((sys.argv[3:] or [0])[0])))
    except LocalError as error:
        sys.exit(str(error))
