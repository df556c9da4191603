"""The API keys of clients on one machine: a file that a variable names stands for the Secret, so that a change of it is taken up as in a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD = "spec.access.apiKeySecretRef"
VARIABLE = "TUNELOOP_API_KEYS_FILE"
_LINK = "keys"


def needs_keys(spec: Mapping[str, Any]) -> bool:
    """Whether requests to a ModelDeployment need a key."""
    return bool((spec.get("access") or {}).get("apiKeySecretRef"))


def unreadable_keys(spec: Mapping[str, Any], environment: Mapping[str, str]) -> list[Refusal]:
    """Return a refusal if a file of keys is needed and named, and cannot be read. That none is named is said with the other variables."""
    path = _file(spec, environment)
    if path is None:
        return []
    try:
        with path.open("rb"):
            return []
    except OSError as error:
        return [
            Refusal(
                reason="KeysNotReadable",
                field=FIELD,
                given=f"{VARIABLE}={path} ({error.strerror})",
                allowed="on one machine a file that you can read stands for the Secret, with one API key a line; a folder has the files of several, as FOLDER/SECRET/KEY",
                example=f"export {VARIABLE}=~/keys.txt",
            )
        ]


def folder_of(volume: Path, *, secret: str, key: str) -> Path:
    """Return the folder that stands for the volume with this key of a Secret. volume: the folder of all of them."""
    return volume / secret / key


def link_keys(volume: Path, spec: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Let the folder of a deployment's volume have a link to its file of keys; nothing is done where requests need no key."""
    path = _file(spec, environment)
    if path is None:
        return
    reference = spec["access"]["apiKeySecretRef"]
    folder = folder_of(volume, secret=reference["name"], key=reference["key"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = folder / _LINK
    link.unlink(missing_ok=True)
    link.symlink_to(path.absolute())


def _file(spec: Mapping[str, Any], environment: Mapping[str, str]) -> Path | None:
    """Return the file that stands for the Secret of a deployment; None if none is needed or named.

    The variable names one file for all deployments, or a folder that has a folder for each Secret with a file for each key.
    """
    path = environment.get(VARIABLE)
    if path is None or not needs_keys(spec):
        return None
    reference = spec["access"]["apiKeySecretRef"]
    return Path(path, reference["name"], reference["key"]) if Path(path).is_dir() else Path(path)
