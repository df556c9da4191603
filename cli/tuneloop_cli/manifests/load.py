"""Reads manifests from files as kubectl does, and checks them against the contract."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from tuneloop_api.v1alpha1 import API_VERSION, FineTuneJob, ModelDeployment
from tuneloop_cli.kinds import RESOURCES
from tuneloop_cli.manifests.problems import ManifestError, Problem, broken_rule, describe_error, dotted
from tuneloop_cli.manifests.yaml_scalars import KubectlLoader, constructed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MOST_DEPTH = 20
"""The deepest field of a manifest is nine levels down."""
_TOO_DEEP = f"is nested too deeply; allowed are {MOST_DEPTH} levels"
MOST_VALUES = 100_000
MOST_BYTES = 1_500_000
"""The limit of one object in etcd by default (1.5 MiB), less what the API server adds."""


@dataclass(frozen=True, kw_only=True)
class LoadedManifest:
    """A manifest that the contract accepts."""

    file: Path
    resource: FineTuneJob | ModelDeployment
    manifest: dict[str, Any]
    """The manifest as the API server gets it; `metadata.namespace` is filled in."""

    @property
    def kind(self) -> str:
        """FineTuneJob or ModelDeployment."""
        return self.resource.kind

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return str(self.resource.metadata["name"])


class _ManifestLoader(KubectlLoader):
    """Stops at the first value that is too deep: PyYAML would take quadratic time for brackets in brackets, and recurse."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a value and those in it. An alias counts as one level; `_require_small` looks behind it."""
        if self._depth == MOST_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
            raise _NestedTooDeeplyError(problem=_TOO_DEEP, problem_mark=mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _NestedTooDeeplyError(yaml.MarkedYAMLError):
    """A document has more than `MOST_DEPTH` levels."""


def load_manifests(files: list[Path]) -> list[LoadedManifest]:
    """Return every manifest of these files (folders: their .yaml, .yml and .json files).

    Raises ManifestError with all problems of all files.
    """
    loaded: list[LoadedManifest] = []
    problems: list[Problem] = []
    for file in _expand(files):
        try:
            loaded += _load_file(file)
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(problems)
    return loaded


def _expand(files: list[Path]) -> list[Path]:
    found: list[Path] = []
    for file in files:
        if file.is_dir():
            inside = sorted(p for p in file.iterdir() if p.is_file() and p.suffix in {".yaml", ".yml", ".json"})
            if not inside:
                raise ManifestError([_whole(file, "the folder holds no .yaml, .yml or .json file")])
            found += inside
        elif file.exists():
            found.append(file)
        else:
            raise ManifestError([_whole(file, "no such file")])
    return found


def _load_file(file: Path) -> list[LoadedManifest]:
    return [_check(file, document, node) for document, node in documents(file)]


def documents(file: Path) -> list[tuple[Any, yaml.Node]]:
    """Return the documents of a file that are not empty, unchecked, with where they stand. Raises ManifestError; there is one at least."""
    try:
        text = file.read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=_ManifestLoader))
        _require_small(file, nodes)
        found = [(constructed(node), node) for node in nodes]
    except OSError as error:
        raise ManifestError([_whole(file, f"cannot be read ({error.strerror})")]) from error
    except UnicodeDecodeError as error:
        raise ManifestError([_whole(file, f"is not UTF-8 (byte {error.start})")]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        message = problem if isinstance(error, _NestedTooDeeplyError) else f"not YAML: {problem}"
        raise ManifestError([Problem(file=str(file), line=mark and mark.line + 1, path="", message=message)]) from error
    if not any(document is not None for document, _ in found):
        raise ManifestError([_whole(file, "holds no manifest")])
    return [(document, node) for document, node in found if document is not None]


def _require_small(file: Path, nodes: list[yaml.Node]) -> None:
    """Raise ManifestError for documents that are nested too deeply, and for aliases that expand to too many values."""
    count, waiting = 0, [(node, 1) for node in nodes]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        inside = [item for pair in node.value for item in pair] if isinstance(node, yaml.MappingNode) else node.value
        if not isinstance(node, yaml.ScalarNode):
            waiting += [(child, depth + 1) for child in inside]
        message = _TOO_DEEP if depth > MOST_DEPTH else ""
        if count > MOST_VALUES:
            message = (
                f"holds more than {MOST_VALUES} values once its aliases (*NAME) are written out; write it without them"
            )
        if message:
            raise ManifestError([Problem(file=str(file), line=node.start_mark.line + 1, path="", message=message)])


def _require_storable(manifest: dict[str, Any], problem: Callable[[tuple[str | int, ...], str], Problem]) -> None:
    size = len(json.dumps(manifest, ensure_ascii=False).encode(errors="replace"))
    if size > MOST_BYTES:
        message = f"the manifest is {size} bytes; the cluster stores at most {MOST_BYTES} of one object"
        raise ManifestError([problem((), message)])


def _check(file: Path, document: Any, node: yaml.Node) -> LoadedManifest:
    def problem(path: tuple[str | int, ...], message: str) -> Problem:
        return Problem(file=str(file), line=_line(node, path), path=dotted(path), message=message)

    if not isinstance(document, dict):
        raise ManifestError([problem((), "a manifest is a mapping with apiVersion, kind, metadata and spec")])
    model = next((model for kind, model in RESOURCES.items() if kind == document.get("kind")), None)
    if model is None or document.get("apiVersion") != API_VERSION:
        found = f"{document.get('apiVersion')}, kind {document.get('kind')}"
        raise ManifestError(
            [problem(("kind",), f"{found} is not known here; known: {API_VERSION}, kind {' or '.join(RESOURCES)}")]
        )
    try:
        resource = model.from_wire(document)
    except ValidationError as error:
        problems = [problem(*describe_error(detail, model)) for detail in error.errors()]
        raise ManifestError([*problems, *_wrong_name(document, model, error, problem)]) from error
    given = {name: value for name, value in document["metadata"].items() if value is not None}
    manifest = document | {"metadata": {"namespace": "default"} | given}
    manifest.pop("status", None)
    _require_storable(manifest, problem)
    return LoadedManifest(file=file, resource=resource, manifest=manifest)


def _wrong_name(
    document: dict[str, Any],
    model: type[FineTuneJob | ModelDeployment],
    error: ValidationError,
    problem: Callable[[tuple[str | int, ...], str], Problem],
) -> Iterator[Problem]:
    """Yield the fault of `metadata.name`. The rules of a kind are checked only if all its fields are right."""
    metadata, path = document.get("metadata"), ("metadata", "name")
    is_named = any(details["loc"][:2] in {path, path[:1]} for details in error.errors())
    if not isinstance(metadata, dict) or is_named:
        return
    for rule in model.rules:
        if rule.field == dotted(path) and not rule.holds(SimpleNamespace(metadata=metadata)):
            yield problem(path, broken_rule(rule.message, given=metadata.get("name")))


def _line(node: yaml.Node, path: tuple[str | int, ...]) -> int | None:
    """Return the line of the value at `path`. If the file has no such value: the line of the nearest mapping around it."""
    for part in path:
        if isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == part), None)
            if inner is None:
                break
            node = inner
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
    return int(node.start_mark.line) + 1


def _whole(file: Path, message: str) -> Problem:
    return Problem(file=str(file), line=None, path="", message=message)
