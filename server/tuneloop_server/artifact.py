"""Checks an artifact before the model is loaded: the manifest against the expected digest, every file against the manifest.

The model is then loaded from a folder of links to the checked files, because transformers also reads files that lie beside them (an adapter,
an index of other shards). The check finds damaged and mixed-up files. It does not stop somebody who can write the files and the manifest.
"""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Protocol

from pydantic import ValidationError

from tuneloop_api.contract.artifact import ADAPTER_FOLDER, MANIFEST, MODEL_FOLDER, ArtifactFile, Manifest
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_server.errors import CannotServe

_ALONE = "name it in spec.adapters beside its base model, or run the job under another name with output.mergeAdapter: true, the default"
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Why a file cannot be opened that is not there, or is no file. For every other reason it may be there, and whole."""
_HOW_TO_LOOK = (
    "spec.model.uri must be the folder of a published artifact, in which manifest.json lies: "
    "`kubectl get ftj -o wide` (or `tuneloop get ftj -o wide`) lists the artifacts of jobs in the column ARTIFACT"
)
_HOW_TO_READ = (
    "Servers read the volume as the user of the pod: look at the owner and the mode of the folder and its files, "
    "and at the Events of the claim"
)
_WHICH_DIGEST = (
    "A FineTuneJob shows the digest of its artifact in status.artifact.digest: compare it with spec.model.digest, "
    "and see who writes to the folder; an artifact is never changed in place"
)
_REMEDY = "publish the artifact again, or correct its address in the spec"


class Place(Protocol):
    """Where an artifact lies: a ServerConfig says it of the model, a ServedAdapter of an adapter."""

    @property
    def artifact_path(self) -> str:
        """Its folder."""

    @property
    def artifact_uri(self) -> str:
        """The same folder, for messages to users."""

    @property
    def digest(self) -> str | None:
        """That the manifest must have; None: any."""


def read_model_manifest(config: Place) -> Manifest:
    """Return the manifest of an artifact with a model. Raises CannotServe as `read_manifest` does, and if it names no model."""
    manifest = read_manifest(config)
    _require_model(config, manifest)
    return manifest


def read_manifest(config: Place) -> Manifest:
    """Return the manifest. Raises CannotServe if it is missing, is no manifest, or has another digest than the expected one."""
    path = Path(config.artifact_path) / MANIFEST
    try:
        manifest = Manifest.from_wire(json.loads(path.read_bytes()))
    except OSError as error:
        message = f"{config.artifact_uri}: {MANIFEST} cannot be read ({error.strerror}); expected the folder of a published artifact"
        raise _unreadable(message, error) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise _damaged(config, f"{MANIFEST} is no manifest of version 1: {field}: {first['msg']}; {_REMEDY}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(config, f"{MANIFEST} is not JSON ({error}); {_REMEDY}") from error
    if config.digest is not None and manifest.digest() != config.digest:
        raise _damaged(config, f"{MANIFEST} has the digest {manifest.digest()}, expected {config.digest}; {_REMEDY}")
    return manifest


def check_files(config: Place, manifest: Manifest, *, name: str | None = None) -> None:
    """Compare every file with the manifest. Raises CannotServe naming the first file that differs, what was found and expected.

    name: the folder of the artifact whose files are compared; None: all of them.
    """
    for file in manifest.files if name is None else files_in(manifest, name):
        try:
            problem = _problem(Path(config.artifact_path), file)
        except OSError as error:
            message = f"{config.artifact_uri}: {file.path}: cannot be read ({error.strerror}); expected a file of {file.size} bytes"
            raise _unreadable(message, error) from error
        if problem is not None:
            raise _damaged(config, f"{file.path}: {problem}; {_REMEDY}")


def files_in(manifest: Manifest, folder: str) -> list[ArtifactFile]:
    """Return the files of an artifact that lie in one of its folders."""
    return [file for file in manifest.files if PurePosixPath(file.path).parts[:1] == (folder,)]


def link_checked_model(config: Place, manifest: Manifest, *, folder: Path, name: str = MODEL_FOLDER) -> None:
    """Fill an empty folder with links to the checked files of `model/` only, or of the folder `name`; other folders of the artifact stay out."""
    for file in files_in(manifest, name):
        path = PurePosixPath(file.path)
        link = folder.joinpath(*path.parts[1:])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(config.artifact_path).resolve() / path)


def _require_model(config: Place, manifest: Manifest) -> None:
    """Raise CannotServe for an artifact without a model: LoRA weights alone are of no use without their base model, which is not here."""
    if files_in(manifest, ADAPTER_FOLDER) and not files_in(manifest, MODEL_FOLDER):
        message = f"{config.artifact_uri}: holds an adapter alone (output.mergeAdapter: false), expected a whole model; {_ALONE}"
        raise CannotServe(message, exit_code=ExitCode.MODEL_ACCESS, failure_class=ServingFailureClass.MODEL_LOAD_FAILED)


def _problem(artifact: Path, file: ArtifactFile) -> str | None:
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return "expected a path inside the artifact"
    problem = content_problem(artifact, file)
    if problem is None and not (artifact / path).resolve().is_relative_to(artifact.resolve()):
        return "is a link that leads out of the artifact; expected the file itself"
    return problem


def content_problem(folder: Path, file: ArtifactFile) -> str | None:
    """Return in what a file differs from how it is listed, wherever a link leads; None: in nothing. Raises OSError for one that may be there."""
    path = folder / file.path
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
            size = content.tell()
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return f"cannot be read ({error.strerror}); expected a file of {file.size} bytes"
    if size != file.size:
        return f"found {size} bytes, expected {file.size}"
    return None if digest == file.sha256 else f"found SHA-256 {digest}, expected {file.sha256}"


def _damaged(config: Place, message: str) -> CannotServe:
    return CannotServe(
        f"{config.artifact_uri}: {message}",
        exit_code=ExitCode.STORAGE,
        failure_class=ServingFailureClass.DIGEST_MISMATCH,
        hint=_WHICH_DIGEST,
    )


def _unreadable(message: str, error: OSError) -> CannotServe:
    is_absent = error.errno in _ABSENT
    kind = ServingFailureClass.ARTIFACT_MISSING if is_absent else ServingFailureClass.ARTIFACT_NOT_READABLE
    hint = _HOW_TO_LOOK if is_absent else _HOW_TO_READ
    return CannotServe(message, exit_code=ExitCode.MODEL_ACCESS, failure_class=kind, hint=hint)
