"""Whether a file lies where its name says: a link, or a `..` in a list of names, may lead elsewhere.

A pod can read more than its source: other folders of the claim, and its own token. A data set, a model or a checkpoint that somebody else has
made must not name those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def lies_in(path: Path, root: Path) -> bool:
    """Whether a file or folder lies in a folder, after all links in both paths are followed."""
    return path.resolve().is_relative_to(root.resolve())


def root_of(folder: Path) -> Path:
    """Return the folder that the files of a source may lie in: the source itself.

    The hub's cache keeps a model as `models--ORG--NAME/snapshots/COMMIT`, a folder of links to `models--ORG--NAME/blobs`; its root is `models--ORG--NAME`.
    """
    snapshots = folder.resolve().parent
    repository = snapshots.parent
    is_cache = snapshots.name == "snapshots" and repository.name.startswith(("models--", "datasets--"))
    return repository if is_cache else folder
