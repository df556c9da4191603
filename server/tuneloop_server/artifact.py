"""Checks an artifact before the model is loaded: the manifest against the expected digest, every file against the manifest.

The model is then loaded from a folder of links to the checked files, because transformers also reads files that lie beside them (an adapter,
an index of other shards). The check finds damaged and mixed-up files. It does not stop somebody who can write the files and the manifest.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.contract.artifact import MANIFEST, ArtifactFile, Manifest
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.errors import CannotServe

if TYPE_CHECKING:
    from tuneloop_api.contract.server_config import ServerConfig

_MODEL = "model"
_MERGE = "run the job under another name with output.mergeAdapter: true, the default"
_REMEDY = "publish the artifact again, or correct spec.model"


def read_manifest(config: ServerConfig) -> Manifest:
    """Return the manifest. Raises CannotServe if it is missing, is no manifest, has another digest than the expected one, or names no model."""
    path = Path(config.artifact_path) / MANIFEST
    try:
        manifest = Manifest.from_wire(json.loads(path.read_bytes()))
    except OSError as error:
        message = f"{config.artifact_uri}: {MANIFEST} cannot be read ({error.strerror}); expected the folder of a published artifact"
        raise CannotServe(message, exit_code=ExitCode.MODEL_ACCESS) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise _damaged(config, f"{MANIFEST} is no manifest of version 1: {field}: {first['msg']}; {_REMEDY}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(config, f"{MANIFEST} is not JSON ({error}); {_REMEDY}") from error
    if config.digest is not None and manifest.digest() != config.digest:
        raise _damaged(config, f"{MANIFEST} has the digest {manifest.digest()}, expected {config.digest}; {_REMEDY}")
    _require_model(config, manifest)
    return manifest


def check_files(config: ServerConfig, manifest: Manifest) -> None:
    """Compare every file with the manifest. Raises CannotServe naming the first file that differs, what was found and expected."""
    for file in manifest.files:
        problem = _problem(Path(config.artifact_path), file)
        if problem is not None:
            raise _damaged(config, f"{file.path}: {problem}; {_REMEDY}")


def link_checked_model(config: ServerConfig, manifest: Manifest, *, folder: Path, name: str = _MODEL) -> None:
    """Fill an empty folder with links to the checked files of `model/` only, or of the folder `name`; other folders of the artifact stay out."""
    for file in manifest.files:
        path = PurePosixPath(file.path)
        if path.parts[0] == name:
            link = folder.joinpath(*path.parts[1:])
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(config.artifact_path).resolve() / path)


def _require_model(config: ServerConfig, manifest: Manifest) -> None:
    """Raise CannotServe for an artifact without a model: LoRA weights alone are of no use without their base model, which is not here."""
    folders = {PurePosixPath(file.path).parts[:1] for file in manifest.files}
    if ("adapter",) in folders and (_MODEL,) not in folders:
        message = f"{config.artifact_uri}: holds an adapter alone (output.mergeAdapter: false), expected a whole model; {_MERGE}"
        raise CannotServe(message, exit_code=ExitCode.MODEL_ACCESS)


def _problem(artifact: Path, file: ArtifactFile) -> str | None:
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return "expected a path inside the artifact"
    try:
        with (artifact / path).open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
            size = content.tell()
    except OSError as error:
        return f"cannot be read ({error.strerror}); expected a file of {file.size} bytes"
    if not (artifact / path).resolve().is_relative_to(artifact.resolve()):
        return "is a link that leads out of the artifact; expected the file itself"
    if size != file.size:
        return f"found {size} bytes, expected {file.size}"
    return None if digest == file.sha256 else f"found SHA-256 {digest}, expected {file.sha256}"


def _damaged(config: ServerConfig, message: str) -> CannotServe:
    return CannotServe(f"{config.artifact_uri}: {message}", exit_code=ExitCode.STORAGE)
