"""`get` and `describe`: print objects of the folder; no lock is needed."""

from __future__ import annotations

import json
import sys
import time
from difflib import get_close_matches
from typing import TYPE_CHECKING

import yaml

from tuneloop_api.wire.printable import printable
from tuneloop_cli.exits import Exit, TuneloopExit, require_choice
from tuneloop_cli.local.cluster.lock import has_session
from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_cli.terminal import say
from tuneloop_cli.views.kinds import VIEWS
from tuneloop_cli.views.page import page
from tuneloop_cli.views.table import table
from tuneloop_cli.views.values import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_cli.kinds import CustomKind
    from tuneloop_operator.cluster import Manifest

OUTPUTS = ("table", "wide", "json", "yaml", "name")
WATCH_SECONDS = 0.5


def kind_named(word: str) -> CustomKind:
    """Return the kind that a user's word means. Raises TuneloopExit for an unknown word."""
    for kind, view in VIEWS.items():
        if word.lower() in view.words:
            return kind
    known = ", ".join(f"{view.words[0]} ({kind})" for kind, view in VIEWS.items())
    raise TuneloopExit(Exit.BAD_INPUT, f"unknown kind {word!r}; known: {known}")


def find(folder: Path, kind: CustomKind, name: str) -> Manifest:
    """Return one object of the folder. Raises TuneloopExit if there is no such object."""
    objects = ObjectFiles(folder).read_all(kind)
    found = next((manifest for manifest in objects if manifest["metadata"]["name"] == name), None)
    if found is None:
        names = [manifest["metadata"]["name"] for manifest in objects]
        near = "".join(f" (did you mean {match}?)" for match in get_close_matches(name, names, n=1))
        raise TuneloopExit(Exit.FAILED, f"no {kind} {name!r} in {folder}; there: {', '.join(names) or 'none'}{near}")
    return found


def show(word: str | None, name: str | None, *, folder: Path, output: str, watch: bool) -> None:
    """Print objects. With `watch`, print them again after each change."""
    require_choice("--output", output, OUTPUTS)
    kinds = [kind_named(word)] if word else list(VIEWS)
    printed = None
    while True:
        text = "\n\n".join(part for part in (_shown(kind, name, folder, output) for kind in kinds) if part)
        if text != printed:
            say(text or f"nothing in {folder}")
        if not watch:
            return
        printed = text
        time.sleep(WATCH_SECONDS)


def describe_one(word: str, name: str, *, folder: Path) -> None:
    """Print the page of one object."""
    say(page(find(folder, kind_named(word), name), now=utc_now(), has_session=has_session(folder)))


def _shown(kind: CustomKind, name: str | None, folder: Path, output: str) -> str:
    objects = [find(folder, kind, name)] if name else ObjectFiles(folder).read_all(kind)
    if not objects:
        return ""
    if output in {"table", "wide"}:
        return table(kind, objects, now=utc_now(), wide=output == "wide", has_session=has_session(folder))
    if output == "name":
        return "\n".join(f"{kind.lower()}/{manifest['metadata']['name']}" for manifest in objects)
    return _dump(objects[0] if name else {"apiVersion": "v1", "kind": "List", "items": objects}, output)


def _dump(data: Manifest | Sequence[Manifest], output: str) -> str:
    """Return an object as JSON or YAML, with the language's own escapes where a character is not safe for a terminal."""
    if output == "json":
        text = json.dumps(data, indent=2, ensure_ascii=not (sys.stdout.encoding or "").lower().startswith("utf"))
        return text if printable(text) == text else json.dumps(data, indent=2)
    text = str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True)).rstrip()
    return text if printable(text) == text else str(yaml.safe_dump(data, sort_keys=False)).rstrip()
