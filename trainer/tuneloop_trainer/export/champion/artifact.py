"""The champion's artifact: found, checked against its manifest, and of the same task and labels as the job. Loads no torch: `prepare` checks it, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import MODEL_FOLDER
from tuneloop_api.wire.canonical import digest_of
from tuneloop_trainer.errors import ConfigError, StorageError
from tuneloop_trainer.export.verify import verify_artifact
from tuneloop_trainer.locate import path_of_uri
from tuneloop_trainer.models.files import WEIGHTS_INDEX, indexed_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tuneloop_api.contract.artifact import ArtifactFile, Manifest
    from tuneloop_api.contract.run_config import RunConfig

FIELD = "evaluation.compareWith"
_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Champion:
    """An artifact whose every file is as its manifest says."""

    folder: Path
    manifest: Manifest

    @property
    def model(self) -> Path:
        """Folder of the model in Hugging Face layout."""
        return self.folder / MODEL_FOLDER


def open_champion(config: RunConfig, *, labels: Sequence[str]) -> Champion | None:
    """Return the artifact that `evaluation.compareWith` names; None: the field is not set. labels: of the job.

    Raises ConfigError if there is no such artifact, if it is damaged or another one, or if it does not do what the job's model does.
    """
    asked = config.settings.evaluation.compare_with
    if asked is None:
        return None
    folder = path_of_uri(asked.uri, claims=config.paths.claims, field=f"{FIELD}.uri")
    try:
        manifest = verify_artifact(folder, asked.digest)
    except StorageError as error:
        raise ConfigError(
            f"{FIELD}: {asked.uri} is no whole artifact: {error.message}",
            hint="give the folder that holds manifest.json, and in digest the sha256 that status.artifact of its job shows",
        ) from error
    _require_same(manifest, task=config.settings.task_id, labels=labels, uri=asked.uri)
    champion = Champion(folder=folder, manifest=manifest)
    if (champion.model / WEIGHTS_INDEX).is_file():
        indexed_weights(champion.model / WEIGHTS_INDEX, uri=asked.uri)
    return champion


def model_digest(files: Iterable[ArtifactFile]) -> str:
    """Return `sha256:…` over the files in `model/`."""
    model = [[file.path, file.size, file.sha256] for file in files if file.path.startswith(f"{MODEL_FOLDER}/")]
    return f"sha256:{digest_of(model)}"


def _require_same(manifest: Manifest, *, task: str, labels: Sequence[str], uri: str) -> None:
    if manifest.task != task:
        raise ConfigError(f"{FIELD}: {uri} is a model for {manifest.task}, this job is for {task}")
    if set(manifest.labels) != set(labels):
        raise ConfigError(
            f"{FIELD}: {uri} has the labels {', '.join(sorted(manifest.labels)[:_SHOWN])}; this job has {', '.join(sorted(labels)[:_SHOWN])}",
            hint="models with other labels are never right on the same rows: leave compareWith out",
        )
    if not any(file.path.startswith(f"{MODEL_FOLDER}/") for file in manifest.files):
        raise ConfigError(f"{FIELD}: {uri} has no whole model, only an adapter (output.mergeAdapter: false)")
