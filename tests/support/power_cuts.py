"""What a power cut may leave of recorded changes. Pure: changes in, file trees out.

A file keeps the content of its last fsync for certain, a folder its names. Of what came after that, each change may be there or not,
whatever the order. A rename is one change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from system_calls import Change

Tree = dict[str, bytes | None]
"""By path below the root: the content of a file, None for a folder."""


@dataclass
class _File:
    now: bytes = b""
    durable: bytes = b""


@dataclass
class _Folder:
    now: dict[str, _File | _Folder] = field(default_factory=dict)
    durable: dict[str, _File | _Folder] = field(default_factory=dict)
    pending: list[dict[str, _File | _Folder | None]] = field(default_factory=list)
    """Changes since the last fsync: what each name stands for after it."""

    def change(self, names: dict[str, _File | _Folder | None]) -> None:
        self.pending.append(names)
        self.now = _changed(self.now, names)


class Disk:
    """A folder that is empty and durable, and what becomes of it."""

    def __init__(self, root: Path) -> None:
        self._root_path = root
        self._root = _Folder()

    def apply(self, change: Change) -> None:
        """Take in the next change."""
        node = self._find(change.path)
        match change.call:
            case "create" if isinstance(node, _File):
                node.now = b""
            case "create":
                self._parent(change.path).change({change.path.name: _File()})
            case "write":
                assert isinstance(node, _File), change
                node.now += change.data
            case "mkdir":
                self._parent(change.path).change({change.path.name: _Folder()})
            case "remove":
                self._parent(change.path).change({change.path.name: None})
            case "rename":
                assert change.target is not None
                assert change.target.parent == change.path.parent, f"a rename between two folders: {change}"
                self._parent(change.path).change({change.path.name: None, change.target.name: node})
            case "fsync":
                _sync(node)

    def after_cut(self, survives: Callable[[], float]) -> Tree:
        """Return what is left. survives: of the next change, the part that is there, from 0 to 1; of a change of names, more than half is all."""
        return dict(_left(self._root, "", survives))

    def _find(self, path: Path) -> _File | _Folder | None:
        node: _File | _Folder | None = self._root
        for name in path.relative_to(self._root_path).parts:
            node = node.now.get(name) if isinstance(node, _Folder) else None
        return node

    def _parent(self, path: Path) -> _Folder:
        parent = self._find(path.parent)
        assert isinstance(parent, _Folder), f"{path} lies in no folder that was recorded"
        return parent


def cuts(root: Path, changes: Iterable[Change], *, seeds: int) -> Iterator[tuple[int, Tree]]:
    """Yield what a cut after each number of changes may leave: nothing that is not durable, all, or a part, for so many seeds."""
    disk, number = Disk(root), 0
    for number, change in enumerate(changes, start=1):
        disk.apply(change)
        yield number, disk.after_cut(lambda: 0.0)
        yield number, disk.after_cut(lambda: 1.0)
        for seed in range(seeds):
            yield number, disk.after_cut(Random(number * seeds + seed).random)


def write_tree(tree: Tree, root: Path) -> None:
    """Write a tree below a folder."""
    for path, content in tree.items():
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)


def _sync(node: _File | _Folder | None) -> None:
    assert node is not None, "an fsync of a file that was not recorded"
    node.durable = node.now  # type: ignore[assignment]
    if isinstance(node, _Folder):
        node.pending = []


def _changed(
    before: dict[str, _File | _Folder], names: dict[str, _File | _Folder | None]
) -> dict[str, _File | _Folder]:
    return {name: node for name, node in (before | names).items() if node is not None}


def _left(folder: _Folder, path: str, survives: Callable[[], float]) -> Iterator[tuple[str, bytes | None]]:
    names = folder.durable
    for change in folder.pending:
        names = _changed(names, change) if survives() > 0.5 else names
    for name, node in names.items():
        below = f"{path}{name}"
        if isinstance(node, _Folder):
            yield below, None
            yield from _left(node, f"{below}/", survives)
        elif node.now == node.durable:
            yield below, node.now
        else:
            part = survives()
            yield below, node.durable if part == 0 else node.now[: round(len(node.now) * min(2 * part, 1))]
