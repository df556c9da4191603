"""The oracle of fault tests: what a namespace holds at the end, without what differs from run to run, and how it differs from a reference.

    expected = reference([end_state(control_plane, namespace) for namespace in three_clean_runs])
    assert expected.differences(end_state(control_plane, namespace)) == []

Masked by value: uids and their first eight digits, times, durations of what was used, addresses, certificates, generated names, the namespace. What still differs between clean
runs is masked by `reference`. Counts of creates and deletes come from the fault proxy's trace: `tally`.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cluster.control_plane import ControlPlane

Object = dict[str, Any]
Replacements = list[tuple[re.Pattern[str], str]]

KINDS: dict[str, str] = {
    "FineTuneJob": "/apis/tuneloop.dev/v1alpha1/namespaces/{namespace}/finetunejobs",
    "ModelDeployment": "/apis/tuneloop.dev/v1alpha1/namespaces/{namespace}/modeldeployments",
    "Job": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "ReplicaSet": "/apis/apps/v1/namespaces/{namespace}/replicasets",
}
"""What is compared: our kinds, and all that comes of them. Events show the way, not the end; Leases show who led."""
_MADE_BY_KUBERNETES = frozenset({("ConfigMap", "kube-root-ca.crt")})
_DROPPED = ("managedFields", "resourceVersion", "selfLink", "goodput", "tuneloop.dev/data-digest")
"""The digest is of data that are compared themselves, masked."""
_DURATIONS = frozenset({"activeSeconds", "gpuSeconds", "usefulSeconds"})
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_ADDRESS = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")
_GENERATED_LENGTH = 5
_SHOWN_LENGTH = 300
"""Characters of a value in the line of a difference."""
_MISSING = object()


@dataclass(frozen=True)
class EndState:
    """What a namespace held, masked."""

    objects: dict[str, Any]
    """By `Kind/name`; several objects whose names differ in their generated part alone have `#2` and so on behind it."""
    orphans: tuple[str, ...]
    """Objects whose controlling owner was not there."""

    @property
    def leaves(self) -> dict[str, Any]:
        """Every value by its path, the empty lists and objects among them."""
        return dict(_leaves(self.objects, ""))


@dataclass(frozen=True)
class Reference:
    """What clean runs have in common."""

    leaves: dict[str, Any]
    varying: frozenset[str]
    """Paths whose value was not the same in all of them; a path stands for all below it, too."""

    def differences(self, found: EndState) -> list[str]:
        """Return a line for each difference, sorted by path, and one for each orphan; empty if there is none."""
        lines = _differences(self.leaves, found.leaves, varying=self.varying)
        return [*lines, *(f"{name}: its owner is gone" for name in found.orphans)]


def end_state(control_plane: ControlPlane, namespace: str, *, kinds: Mapping[str, str] = KINDS) -> EndState:
    """Read a namespace. `kinds`: the path of each kind's list. Raises AssertionError if one cannot be read."""
    objects: list[Object] = []
    for kind, path in kinds.items():
        reply = control_plane.request("GET", path.format(namespace=namespace))
        assert reply.status == 200, (kind, reply.body)
        objects += [{"kind": kind} | item for item in reply.body["items"]]
    return masked(objects)


def masked(objects: Iterable[Object]) -> EndState:
    """Return the end state of objects as the API server gives them."""
    kept = [found for found in objects if (found["kind"], found["metadata"]["name"]) not in _MADE_BY_KUBERNETES]
    replace = _replacements(kept)
    by_name: dict[str, list[Any]] = defaultdict(list)
    for found in kept:
        by_name[f"{found['kind']}/{_text(found['metadata']['name'], replace)}"].append(_value(found, replace))
    named: dict[str, Any] = {}
    for name, same in sorted(by_name.items()):
        for number, found in enumerate(sorted(same, key=lambda value: json.dumps(value, sort_keys=True)), start=1):
            named[name if number == 1 else f"{name}#{number}"] = found
    return EndState(objects=named, orphans=_orphans(kept))


def reference(clean: Sequence[EndState]) -> Reference:
    """Return what clean runs have in common; what differs among them is not compared."""
    first, *others = [end.leaves for end in clean]
    varying = {
        path
        for other in others
        for path in first.keys() | other.keys()
        if first.get(path, _MISSING) != other.get(path, _MISSING)
    }
    return Reference(leaves=first, varying=frozenset(varying))


def count_differences(expected: Counter[Any], found: Counter[Any]) -> list[str]:
    """Return a line for each object that was not created or deleted as often as in the reference; see `tally`."""
    return [
        f"{' '.join(key)}: {expected[key]} times in the reference, {found[key]} times here"
        for key in sorted(expected.keys() | found.keys())
        if expected[key] != found[key]
    ]


def _differences(expected: dict[str, Any], found: dict[str, Any], *, varying: frozenset[str]) -> list[str]:
    lines = []
    for path in sorted(expected.keys() | found.keys()):
        old, new = expected.get(path, _MISSING), found.get(path, _MISSING)
        if old != new and not _varies(path, varying):
            lines.append(f"{path}: {_shown(old)} in the reference, {_shown(new)} here")
    return _shortened(lines, expected, found)


def _shortened(lines: list[str], expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Say of an object that is missing or too much that alone, not each of its values."""
    before, after = ({_object_of(path) for path in leaves} for leaves in (expected, found))
    whole = [f"{name}: is missing" for name in before - after] + [f"{name}: should not be" for name in after - before]
    lonely = before ^ after
    return sorted([*whole, *(line for line in lines if _object_of(line.split(": ")[0]) not in lonely)])


def _object_of(path: str) -> str:
    return path.split(" ", 1)[0]


def _varies(path: str, varying: frozenset[str]) -> bool:
    return path in varying or any(path.startswith((f"{parent}.", f"{parent}[")) for parent in varying)


def _shown(value: Any) -> str:
    if value is _MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def _leaves(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, dict | list) or not value:
        yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, _joined(path, key))
    else:
        for number, part in enumerate(value):
            yield from _leaves(part, f"{path}[{number}]")


def _joined(path: str, key: str) -> str:
    """Return `Kind/name field.field`: the object is the first word of a path."""
    separator = "" if not path else "." if " " in path else " "
    return f"{path}{separator}{key}"


def _replacements(objects: list[Object]) -> Replacements:
    """Return what stands for each text that is another one in each run, as a word of its own; the longest first."""
    found: dict[str, str] = {}
    for manifest in objects:
        metadata = manifest["metadata"]
        found[metadata["uid"][:8]] = "<uid8>"
        found[metadata["namespace"]] = "<namespace>"
        stem = metadata.get("generateName", "")
        if stem and metadata["name"].startswith(stem):
            found[metadata["name"]] = f"{stem}{'*' * _GENERATED_LENGTH}"
    longest_first = sorted(found.items(), key=lambda pair: -len(pair[0]))
    return [(re.compile(rf"(?<![0-9A-Za-z]){re.escape(old)}(?![0-9A-Za-z])"), new) for old, new in longest_first]


def _value(value: Any, replace: Replacements) -> Any:
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if key not in _DROPPED}
        return {key: "(duration)" if key in _DURATIONS else _value(part, replace) for key, part in kept.items()}
    if isinstance(value, list):
        return _by_type([_value(part, replace) for part in value])
    if isinstance(value, str):
        return _decoded(value, replace) if value.startswith("{") else _text(value, replace)
    return value


def _decoded(text: str, replace: Replacements) -> Any:
    """Return JSON in a text (a ConfigMap, a termination message) as what it says, so that its fields are compared."""
    try:
        return {"(JSON)": _value(json.loads(text), replace)}
    except ValueError:
        return _text(text, replace)


def _by_type(values: list[Any]) -> Any:
    """Return conditions by their type: who writes first is chance."""
    if values and all(isinstance(value, dict) and {"type", "status"} <= value.keys() for value in values):
        return {str(value["type"]): value for value in values}
    return values


def _text(text: str, replace: Replacements) -> str:
    text = _CERTIFICATE.sub("<certificate>", text)
    text = _UID.sub("<uid>", text)
    text = _TIME.sub("<time>", text)
    text = _ADDRESS.sub("<address>", text)
    for old, new in replace:
        text = old.sub(new, text)
    return text


def _orphans(objects: list[Object]) -> tuple[str, ...]:
    alive = {manifest["metadata"]["uid"] for manifest in objects}
    kinds = {manifest["kind"] for manifest in objects} | KINDS.keys()
    return tuple(
        sorted(
            f"{manifest['kind']}/{manifest['metadata']['name']}"
            for manifest in objects
            for owner in manifest["metadata"].get("ownerReferences", ())
            if owner.get("controller") and owner["kind"] in kinds and owner["uid"] not in alive
        )
    )
