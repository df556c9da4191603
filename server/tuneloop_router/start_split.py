"""What to start with: the newer of the mounted ConfigMap and of what was in force last. The operator may be away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_router.errors import BadMessage, CannotRun
from tuneloop_router.log import say
from tuneloop_router.split import Split

if TYPE_CHECKING:
    from tuneloop_router.settings import Settings


def start_split(settings: Settings) -> Split:
    """Return the split to start with. Raises CannotRun if neither file has one."""
    paths = (Path(settings.split_path), Path(settings.places.state))
    splits = [split for path in paths if (split := _split_of(path, settings.deployment))]
    if not splits:
        raise CannotRun(f"no split to start with: neither {paths[0]} nor {paths[1]} has one for {settings.deployment}")
    return max(splits, key=lambda split: split.generation)


def _split_of(path: Path, deployment: str) -> Split | None:
    try:
        split = Split.parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        say(f"{path}: cannot be read ({error.strerror})")
        return None
    except BadMessage as error:
        say(f"{path}: {error}")
        return None
    if split.deployment != deployment:
        say(f"{path}: is of {split.deployment}, and this router's deployment is {deployment}")
        return None
    return split
