"""Looks on this machine for the artifacts that a ModelDeployment names by their folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuneloop_cli.local.folders import artifact_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_api.v1alpha1 import ModelDeploymentSpec
    from tuneloop_cli.local.kubelet.pod_plan import Folders


def artifact_problems(spec: ModelDeploymentSpec, *, folders: Folders) -> Iterator[str]:
    """Yield a sentence for each folder that holds no artifact of its kind: a model, or an adapter."""
    if spec.model.uri is not None:
        yield from _model(spec, spec.model.uri, folders=folders)
    for number, adapter in enumerate(spec.adapters or ()):
        if adapter.uri is not None:
            folder = artifact_folder(adapter.uri, folders=folders)
            if not _is_file(folder / "manifest.json"):
                yield f"spec.adapters[{number}].uri: {adapter.uri} is no artifact: there is no {folder / 'manifest.json'}"
            elif not (folder / "adapter").is_dir():
                yield f"spec.adapters[{number}].uri: {adapter.uri} holds no adapter: a FineTuneJob with method.type: lora publishes one"


def _model(spec: ModelDeploymentSpec, uri: str, *, folders: Folders) -> Iterator[str]:
    folder = artifact_folder(uri, folders=folders)
    is_pretrained = spec.adapters and spec.model.digest is None and _is_file(folder / "config.json")
    if not _is_file(folder / "manifest.json"):
        if not is_pretrained:
            yield f"spec.model.uri: {uri} is no artifact: there is no {folder / 'manifest.json'}"
    elif (folder / "adapter").is_dir() and not (folder / "model").is_dir():
        yield (
            f"spec.model.uri: {uri} holds an adapter alone, which is no model to serve: name it in spec.adapters beside its base model, or run the job under "
            "another name with output.mergeAdapter: true, the default"
        )


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  (a path that is too long for a file is no error of it)
