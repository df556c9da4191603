"""Looks on this machine for the artifacts that a ModelDeployment names by their folders: what is there, and what their manifests say.

Files are not compared with the manifest: a server does that when it starts, and reads all of them.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import MANIFEST, ONNX_FOLDER, ONNX_FP32, ONNX_INT8, Manifest
from tuneloop_cli.local.folders import artifact_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_api.v1alpha1 import ModelDeploymentSpec
    from tuneloop_api.v1alpha1.model_deployment.runtime import RuntimeOptions
    from tuneloop_cli.local.kubelet.pod_plan import Folders

_ASK = {ONNX_FP32: "onnx", ONNX_INT8: "onnx-int8"}
"""Format of `output.formats` that makes each file."""


def artifact_problems(spec: ModelDeploymentSpec, *, folders: Folders) -> Iterator[str]:
    """Yield a sentence for each folder that holds no artifact of its kind (a model, or an adapter), or another one than the spec asks for."""
    if spec.model.uri is not None:
        yield from _model(spec, spec.model.uri, folders=folders)
    for number, adapter in enumerate(spec.adapters or ()):
        if adapter.uri is not None:
            field, folder = f"spec.adapters[{number}]", artifact_folder(adapter.uri, folders=folders)
            if not _is_file(folder / MANIFEST):
                yield f"{field}.uri: {adapter.uri} is no artifact: there is no {folder / MANIFEST}"
            elif not (folder / "adapter").is_dir():
                yield f"{field}.uri: {adapter.uri} holds no adapter: a FineTuneJob with method.type: lora publishes one"
            else:
                yield from _content(folder, field=field, uri=adapter.uri, digest=adapter.digest, needs=None)


def _model(spec: ModelDeploymentSpec, uri: str, *, folders: Folders) -> Iterator[str]:
    folder = artifact_folder(uri, folders=folders)
    is_pretrained = spec.adapters and spec.model.digest is None and _is_file(folder / "config.json")
    if not _is_file(folder / MANIFEST):
        if not is_pretrained:
            yield f"spec.model.uri: {uri} is no artifact: there is no {folder / MANIFEST}"
    elif (folder / "adapter").is_dir() and not (folder / "model").is_dir():
        yield (
            f"spec.model.uri: {uri} holds an adapter alone, which is no model to serve: name it in spec.adapters beside its base model, or run the job under "
            "another name with output.mergeAdapter: true, the default"
        )
    else:
        needs = _onnx_file(spec.runtime)
        yield from _content(folder, field="spec.model", uri=uri, digest=spec.model.digest, needs=needs)


def _content(folder: Path, *, field: str, uri: str, digest: str | None, needs: str | None) -> Iterator[str]:
    """Yield what a manifest says against the spec. needs: an ONNX file that the server loads; None: none."""
    try:
        manifest = Manifest.from_wire(json.loads((folder / MANIFEST).read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0]
        yield f"{field}.uri: {uri} is no artifact that can be served: {folder / MANIFEST} cannot be read as a manifest of version 1 ({problem})"
        return
    if digest is not None and manifest.digest() != digest:
        yield (
            f"{field}.digest: {digest} is not the digest of {uri}, which is {manifest.digest()}: another artifact is not served. "
            "A FineTuneJob shows its own in status.artifact.digest"
        )
    if needs is not None and f"{ONNX_FOLDER}/{needs}" not in {file.path for file in manifest.files}:
        yield (
            f"spec.runtime.engine: onnx needs {ONNX_FOLDER}/{needs}, which {uri} does not have{_refusal(manifest, needs)}: run the FineTuneJob under another name "
            f"with output.formats: [safetensors, {_ASK[needs]}], or set engine: torch"
        )


def _onnx_file(runtime: RuntimeOptions | None) -> str | None:
    """Return the file that a server with these settings loads; None for other engines."""
    if runtime is None or runtime.engine != "onnx":
        return None
    return ONNX_INT8 if runtime.dtype == "int8" else ONNX_FP32


def _refusal(manifest: Manifest, file: str) -> str:
    """Return why the job did not publish the file, in brackets; empty if it does not say."""
    found = manifest.onnx
    reasons = (found.refusal, found.int8.refusal if found.int8 and file == ONNX_INT8 else None) if found else ()
    return next((f" ({reason})" for reason in reasons if reason), "")


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  (a path that is too long for a file is no error of it)
