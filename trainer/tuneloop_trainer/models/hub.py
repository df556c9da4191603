"""Fetches a model from the Hugging Face hub into the claim."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.uris import HUB_SCHEME
from tuneloop_trainer.errors import ModelAccessError
from tuneloop_trainer.failures import failure_of, first_line
from tuneloop_trainer.models.files import MODEL_FILES, check_files
from tuneloop_trainer.models.hub_advice import advice
from tuneloop_trainer.redaction import redact

LOG = logging.getLogger(__name__)
WAITS_SECONDS = (2.0, 4.0, 8.0, 16.0)
"""Times between two tries, where the next try may succeed."""
ALL_TRIES = len(WAITS_SECONDS) + 1
FEW_TRIES = 2
"""For a command that somebody waits for: a hub that is not reached is named within seconds."""
_ANSWER_SECONDS = 5.0
"""How long the hub is waited for, to be reached and then to answer, before files are loaded."""
_TOKEN = "; name the Secret with your token in model.secretRef (tuneloop run: export HF_TOKEN)"  # noqa: S105  (advice)
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY_REQUESTS, _SERVER_ERROR = 401, 403, 429, 500
_HINTS = {
    _UNAUTHORIZED: "put a token that is valid into the Secret of model.secretRef (tuneloop run: export HF_TOKEN), or name none for a public model",
    _FORBIDDEN: "put a token with the right to read this repository into the Secret of model.secretRef (tuneloop run: export HF_TOKEN)",
    _TOO_MANY_REQUESTS: f"begin again later; a token raises the limit{_TOKEN}",
}
"""What to do, by the status of an answer that has no error of its own."""


def fetch_model(uri: str, *, revision: str, cache: Path, tries: int = ALL_TRIES) -> tuple[Path, str]:
    """Download `hf://ORG/NAME` at a branch, tag or commit; returns (folder, commit). What is there already is not loaded again.

    Only safetensors are fetched. The hub's client takes a token from HF_TOKEN by itself. A hub that is down, slow or breaks off is tried again,
    each time from where the last try ended. tries: how often at most, from 1 to ALL_TRIES.
    Raises ModelAccessError naming repository and revision, OSError where the claim is full or read-only.
    """
    for wait in (*WAITS_SECONDS[: tries - 1], None):
        try:
            return _fetch(uri, revision=revision, cache=cache)
        except ModelAccessError:
            raise
        except Exception as error:  # the client raises its own, the HTTP library's and the system's
            if failure_of(error).exit_code == ExitCode.STORAGE:
                raise
            refused = _refused(uri, revision=revision, error=error)
            if wait is None or not _may_pass(error):
                raise refused from error
            LOG.warning("%s; it is tried again in %.0f s", redact(refused.message), wait)
        time.sleep(wait)
    raise AssertionError("unreachable")


def _fetch(uri: str, *, revision: str, cache: Path) -> tuple[Path, str]:
    repository = uri.removeprefix(HUB_SCHEME)
    found = HfApi().model_info(repository, revision=revision, timeout=_ANSWER_SECONDS)
    check_files({file.rfilename for file in found.siblings or []}, uri=uri)
    folder = snapshot_download(repository, revision=found.sha, cache_dir=cache, allow_patterns=list(MODEL_FILES))
    return Path(folder), str(found.sha)


def _may_pass(error: Exception) -> bool:
    """Whether the next try may succeed: the hub was not reached, broke off, or answered that it is busy."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= _SERVER_ERROR or error.response.status_code == _TOO_MANY_REQUESTS
    return not isinstance(error, OfflineModeIsEnabled)


def _refused(uri: str, *, revision: str, error: Exception) -> ModelAccessError:
    what = f"model.uri: {uri} at revision {revision!r}"
    if isinstance(error, GatedRepoError):
        return ModelAccessError(f"{what} is gated", hint=f"accept its licence on the hub{_TOKEN}")
    if isinstance(error, RevisionNotFoundError):
        return ModelAccessError(f"{what}: there is no such branch, tag or commit")
    if isinstance(error, RepositoryNotFoundError):
        return ModelAccessError(f"{what} does not exist, or is private", hint=f"check the name{_TOKEN}")
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        refusal = (
            "the hub does not know the token" if status == _UNAUTHORIZED else f"the hub refused: {first_line(error)}"
        )
        return ModelAccessError(f"{what}: {refusal}", hint=_HINTS.get(status))
    return ModelAccessError(
        f"{what} cannot be fetched: {type(error).__name__}: {first_line(error)}",
        hint=advice(error, endpoint=ENDPOINT),
    )
