"""The adapters that are served on one base model: what their manifests say, and whether they belong to that model and to each other.

The manifest of an adapter lists the weights of the model that it was trained on. So a server knows by their SHA-256 whether a folder holds that model,
whatever its name is, and a base model needs no manifest of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import ADAPTER_FOLDER, MANIFEST, MODEL_FOLDER, ArtifactFile, Manifest
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_server.artifact import check_files, content_problem, files_in, read_manifest, read_model_manifest
from tuneloop_server.errors import CannotServe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.server_config import ServedAdapter, ServerConfig

_WEIGHTS = re.compile(r"[^/\x00]+\.safetensors|model\.safetensors\.index\.json")
ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter whose manifest was read."""

    place: ServedAdapter
    manifest: Manifest

    @property
    def name(self) -> str:
        """By which clients ask for it."""
        return self.place.name


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """What is served on the base model."""

    adapters: tuple[Adapter, ...] = ()
    has_own_model: bool = True
    """The base model is an artifact, which answers for the task itself; else it is a pre-trained model without a head."""


NO_ADAPTERS = Adapters()


def read_manifests(config: ServerConfig) -> tuple[Manifest, Adapters]:
    """Return the manifest of the model, and the adapters on it. A base model without a manifest gets one: of its weights, with the task of the adapters.

    Raises CannotServe if a manifest cannot be read, has another digest than the expected one, or does not fit the others.
    """
    if not config.adapters:
        return read_model_manifest(config), NO_ADAPTERS
    adapters = tuple(Adapter(place=place, manifest=_read(place)) for place in config.adapters)
    has_own_model = config.digest is not None or (Path(config.artifact_path) / MANIFEST).exists()
    manifest = read_model_manifest(config) if has_own_model else _manifest_of_base(adapters[0])
    for adapter in adapters:
        _require_same_base(config, manifest, adapter)
        _require_same_task(config if has_own_model else adapters[0].place, manifest, adapter)
    return manifest, Adapters(adapters=adapters, has_own_model=has_own_model)


def check_all_files(config: ServerConfig, manifest: Manifest, adapters: Adapters) -> None:
    """Compare the files of the model and of the adapters with their manifests. Raises CannotServe naming the first file that differs."""
    if adapters.has_own_model:
        check_files(config, manifest)
    else:
        _check_base(config, adapters.adapters[0])
    for adapter in adapters.adapters:
        check_files(adapter.place, adapter.manifest, name=ADAPTER_FOLDER)


def link_base(config: ServerConfig, adapters: Adapters, *, folder: Path) -> None:
    """Fill an empty folder with links to the checked weights of a base model without a manifest, and to the configuration that an adapter has of it."""
    first = adapters.adapters[0]
    for file in _base_files(first):
        (folder / file.path).symlink_to((Path(config.artifact_path) / file.path).resolve())
    (folder / "config.json").symlink_to(Path(first.place.artifact_path).resolve() / ADAPTER_FOLDER / "config.json")


def _read(place: ServedAdapter) -> Manifest:
    manifest = read_manifest(place)
    names = {file.path for file in manifest.files}
    for needed in (ADAPTER_WEIGHTS, ADAPTER_CONFIG, "config.json"):
        if f"{ADAPTER_FOLDER}/{needed}" not in names:
            raise _refused(
                place,
                f"has no {ADAPTER_FOLDER}/{needed}, expected an adapter in safetensors; run the job with method.type: lora",
            )
    if manifest.adapter_base is None or not manifest.adapter_base.files:
        raise _refused(
            place,
            f"{MANIFEST} does not say which weights the adapter was trained on (adapterBase): it is of an older release; train the adapter again",
        )
    if odd := [file.path for file in manifest.adapter_base.files if not _WEIGHTS.fullmatch(file.path)]:
        raise _refused(
            place, f"{MANIFEST} names {odd[0]} in adapterBase, expected names of weights, such as model.safetensors"
        )
    return manifest


def _base_files(adapter: Adapter) -> Sequence[ArtifactFile]:
    assert adapter.manifest.adapter_base is not None  # `_read` requires it
    return adapter.manifest.adapter_base.files


def _manifest_of_base(first: Adapter) -> Manifest:
    """Return a manifest for a base model that has none."""
    files = [changed(file, path=f"{MODEL_FOLDER}/{file.path}") for file in _base_files(first)]
    return changed(
        first.manifest,
        name=first.manifest.base_model,
        metrics=[],
        lineage={},
        files=files,
        onnx=None,
        adapter_base=None,
    )


def _require_same_base(config: ServerConfig, manifest: Manifest, adapter: Adapter) -> None:
    served = {file.path: file.sha256 for file in files_in(manifest, MODEL_FOLDER)}
    for file in _base_files(adapter):
        found = served.get(f"{MODEL_FOLDER}/{file.path}")
        if found != file.sha256:
            has = "has no such file" if found is None else f"has SHA-256 {found}"
            raise _refused(
                adapter.place,
                f"was trained on {_origin(adapter)}, whose {file.path} has SHA-256 {file.sha256}; the base model of the others, {config.artifact_uri}, {has}; "
                "allowed are adapters of one base model",
            )


def _require_same_task(other: ServerConfig | ServedAdapter, manifest: Manifest, adapter: Adapter) -> None:
    if adapter.manifest.task != manifest.task:
        raise _refused(
            adapter.place,
            f"has the task {adapter.manifest.task}, {other.artifact_uri} has {manifest.task}; allowed are adapters of one task",
        )
    if adapter.manifest.labels != manifest.labels:
        raise _refused(
            adapter.place,
            f"has the labels {adapter.manifest.labels[:20]}, {other.artifact_uri} has {manifest.labels[:20]}; allowed are adapters with the same labels "
            "in the same order, such as data.labels of the FineTuneJob sets",
        )


def _check_base(config: ServerConfig, adapter: Adapter) -> None:
    for file in _base_files(adapter):
        problem = content_problem(Path(config.artifact_path), file)
        if problem is not None:
            message = f"{config.artifact_uri}: {file.path}: {problem}; spec.model.uri must be the folder of {_origin(adapter)}, on which the adapter {adapter.name} was trained"
            raise CannotServe(
                message, exit_code=ExitCode.MODEL_ACCESS, failure_class=ServingFailureClass.DIGEST_MISMATCH
            )


def _origin(adapter: Adapter) -> str:
    """Return what the base model was called in training."""
    revision = adapter.manifest.lineage.get("modelRevision")
    return f"{adapter.manifest.base_model} ({revision})" if revision else adapter.manifest.base_model


def _refused(place: ServedAdapter, problem: str) -> CannotServe:
    message = f"spec.adapters: {place.name}: {place.artifact_uri}: {problem}"
    return CannotServe(message, exit_code=ExitCode.MODEL_ACCESS, failure_class=ServingFailureClass.MODEL_LOAD_FAILED)
