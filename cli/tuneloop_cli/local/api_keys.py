"""The API keys of clients on one machine: a file that a variable names stands for the Secret, so that a change of it is taken up as in a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD = "spec.access.apiKeySecretRef"
VARIABLE = "TUNELOOP_API_KEYS_FILE"


def needs_keys(spec: Mapping[str, Any]) -> bool:
    """Whether requests to a ModelDeployment need a key."""
    return bool((spec.get("access") or {}).get("apiKeySecretRef"))


def unreadable_keys(spec: Mapping[str, Any], environment: Mapping[str, str]) -> list[Refusal]:
    """Return a refusal if a file of keys is needed and named, and cannot be read. That none is named is said with the other variables."""
    path = environment.get(VARIABLE)
    if not needs_keys(spec) or path is None:
        return []
    try:
        with Path(path).open("rb"):
            return []
    except OSError as error:
        return [
            Refusal(
                reason="KeysNotReadable",
                field=FIELD,
                given=f"{VARIABLE}={path} ({error.strerror})",
                allowed="on one machine a file that you can read stands for the Secret, with one API key a line",
                example=f"export {VARIABLE}=~/keys.txt",
            )
        ]


def link_keys(folder: Path, environment: Mapping[str, str]) -> None:
    """Let a folder stand for the volume with the keys: it has the link `keys` to the file that the variable names; without one it is empty."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = folder / "keys"
    link.unlink(missing_ok=True)
    if path := environment.get(VARIABLE):
        link.symlink_to(Path(path).absolute())
