"""The checkpoints of a gang under test: opened, compared and refused on each of its ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tuneloop_trainer.checkpoint import Checkpoints
from tuneloop_trainer.engine.engine import Engine
from tuneloop_trainer.errors import ConfigError, StageError, StorageError


def opened(folder: str, engine: Engine, *, attempt: int = 1, config_hash: str = "same") -> Checkpoints:
    """Return the checkpoints of a folder."""
    return Checkpoints(
        Path(folder), engine=engine, config_hash=config_hash, attempt=attempt, fingerprint={"machine": "here"}
    )


def fingerprint(engine: Engine) -> dict[str, str]:
    """Return the exact weights by name, on rank 0."""
    return {name: value.numpy().tobytes().hex()[:4000] for name, value in engine.trainable_state().items()}


def files_of(folder: str) -> dict[str, int]:
    """Return the size of every file below a folder."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()}


def error_of(action: Callable[[], object]) -> str:
    """Return the class and message of the error that an action raises."""
    try:
        action()
    except (StorageError, ConfigError) as error:
        return f"{type(error).__name__}: {error.message}"
    except StageError as error:
        return f"unexpected {error!r}"
    return "nothing"
