"""`lineage`: show where a served revision, a job or an artifact comes from."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from tuneloop_cli.commands.get import kind_named
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.lineage.lines import lines, to_wire
from tuneloop_cli.lineage.reading import of_cluster, of_folder
from tuneloop_cli.lineage.tree import of_artifact, of_deployment, of_job
from tuneloop_cli.terminal import say
from tuneloop_operator.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_cli.lineage.documents import Documents
    from tuneloop_cli.lineage.tree import Node

_SCHEMES = ("pvc://", "file:///")
_ALLOWED = (
    "allowed are mdep/NAME, mdep/NAME@REVISION, ftj/NAME and the address of an artifact; for example mdep/reviews"
)


def show_lineage(target: str, *, folder: Path, namespace: str | None, as_json: bool) -> None:
    """Print the tree of a target. Raises TuneloopExit: BAD_INPUT for a target that is none, FAILED if it is not there."""
    node = tree_of(target, _documents(folder, namespace))
    say(json.dumps(to_wire(node), indent=2) if as_json else "\n".join(lines(node)))


def tree_of(target: str, documents: Documents) -> Node:
    """Return the tree of `mdep/NAME[@REVISION]`, `ftj/NAME` or the URI of an artifact. Raises TuneloopExit."""
    if target.startswith(_SCHEMES):
        return of_artifact(target.rstrip("/"), documents)
    word, slash, rest = target.partition("/")
    name, _, revision = rest.partition("@")
    if not slash or not name:
        raise TuneloopExit(Exit.BAD_INPUT, f"{target!r} names nothing: {_ALLOWED}")
    if kind_named(word) == "ModelDeployment":
        return of_deployment(name, revision or None, documents)
    if revision:
        raise TuneloopExit(Exit.BAD_INPUT, f"{target!r}: a FineTuneJob has no revisions; {_ALLOWED}")
    return of_job(name, documents)


def _documents(folder: Path, namespace: str | None) -> Documents:
    if namespace is None:
        return of_folder(folder)
    try:
        return asyncio.run(of_cluster(namespace))
    except OperatorError as error:
        raise TuneloopExit(Exit.FAILED, str(error)) from error
