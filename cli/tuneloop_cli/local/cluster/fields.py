"""The fields of an object that local mode honours, and the fields without effect, with the reason. Any other field is refused.

The path of a mapping or list covers everything below it. `[]` stands for the items of a list, `*` for any key.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from tuneloop_cli.kinds import RESOURCES
from tuneloop_operator.errors import Refused
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop_operator.cluster import Manifest

    Path = tuple[str, ...]

_PROBE = {
    "httpGet.path": "requested on the pod's own port",
    "httpGet.port": "the name of the container's port: the probe goes to the port that stands for it",
    "periodSeconds": "between two probes, once the pod has been ready",
    "timeoutSeconds": "of one probe",
    "failureThreshold": "failed probes in a row that count",
}

_POD_HONOURED = (
    {
        "nodeName": "set by the kubelet",
        "hostname": "set by the Job controller; shown in errors",
        "restartPolicy": "Never: one run; Always (the default): again after a growing pause",
        "terminationGracePeriodSeconds": "between SIGTERM and SIGKILL",
        "containers[].name": "shown in the pod's status",
        "containers[].command": "run with this interpreter in place of `python`",
        "containers[].args": "follow the command",
        "containers[].env[].name": "set",
        "containers[].env[].value": "set; $(NAME) is an earlier variable; a mount path at its start becomes the local folder",
        "containers[].env[].valueFrom.fieldRef.fieldPath": "read from the pod's metadata",
        "containers[].ports[]": "for each name a port on 127.0.0.1; requests go to the first",
        "containers[].resources.requests.*": "see limits",
        "containers[].resources.limits.*": "a device: that many GPUs are visible to the pod",
        "containers[].terminationMessagePath": "a file of the pod's own",
        "containers[].terminationMessagePolicy": "as the kubelet does",
        "containers[].volumeMounts[].name": "names the volume",
        "containers[].volumeMounts[].mountPath": "rewritten to the local folder in configuration, command and environment",
        "volumes[].name": "names the volume",
        "volumes[].configMap.name": "its files are written into the pod's folder",
        "volumes[].emptyDir": "a folder that is removed with the pod",
        "volumes[].persistentVolumeClaim.claimName": "the folder claims/NAME",
        "volumes[].projected.sources[].serviceAccountToken.path": "the file with the session's token",
    }
    | {
        f"containers[].env[].valueFrom.{kind}.{field}": "the variable of this name in the environment of the command stands for the key"
        for kind in ("secretKeyRef", "configMapKeyRef")
        for field in ("name", "key", "optional")
    }
    | {
        f"containers[].{probe}.{field}": why
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        for field, why in _PROBE.items()
    }
)

_POD_INERT = {
    "automountServiceAccountToken": "there is no API server to talk to",
    "enableServiceLinks": "no Service variables are set",
    "securityContext": "the process runs as you",
    "subdomain": "the rendezvous is on 127.0.0.1",
    "tolerations": "there is one node",
    "topologySpreadConstraints": "there is one node",
    "containers[].image": "the installed packages are used",
    "containers[].imagePullPolicy": "there is no image",
    "containers[].securityContext": "the process runs as you",
    "containers[].resources.requests.cpu": "the machine is shared as it is",
    "containers[].resources.requests.memory": "the machine is shared as it is",
    "containers[].resources.limits.cpu": "the machine is shared as it is",
    "containers[].resources.limits.memory": "the machine is shared as it is",
    "containers[].volumeMounts[].readOnly": "folders are as writable as they are for you",
    "volumes[].persistentVolumeClaim.readOnly": "folders are as writable as they are for you",
    "volumes[].projected.sources[].serviceAccountToken.audience": "the token is good on loopback, for this session",
    "volumes[].projected.sources[].serviceAccountToken.expirationSeconds": "the token is good on loopback, for this session",
}

_SECRET_HONOURED = {"volumes[].secret.items[].path": "the file with the keys"}
_SECRET_INERT = {
    f"volumes[].secret.{field}": "a folder of this machine stands for the Secret"
    for field in ("secretName", "items[].key")
}
"""Of the pods of Deployments alone: jobs have no Secret as a volume here."""

_TEMPLATE = {"template.metadata.labels": "the pods'", "template.metadata.annotations": "the pods'"}


def _below(prefix: str, table: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}.{path}": why for path, why in table.items()}


HONOURED: dict[str, dict[str, str]] = {
    **{kind: {"spec": "the operator's"} for kind in RESOURCES},
    "ConfigMap": {"data": "the files of a volume", "immutable": "a change is refused"},
    "Service": {},
    "NetworkPolicy": {},
    "Pod": _below("spec", _POD_HONOURED | _SECRET_HONOURED),
    "Job": _below(
        "spec",
        {
            "completionMode": "Indexed, or the default",
            "completions": "that many pods must succeed",
            "parallelism": "at most that many run at once",
            "backoffLimit": "0: one failed pod fails the Job",
            "podReplacementPolicy": "a pod that is being deleted has failed",
            "suspend": "its pods are deleted until it is false",
        }
        | _TEMPLATE
        | _below("template.spec", _POD_HONOURED),
    ),
    "Deployment": _below(
        "spec", {"replicas": "that many pods"} | _TEMPLATE | _below("template.spec", _POD_HONOURED | _SECRET_HONOURED)
    ),
}
"""What each field does here, by kind."""

INERT: dict[str, dict[str, str]] = {
    "Service": {"spec": f"servers are reached on 127.0.0.1; the address stands in the annotation {LOCAL_URL}"},
    "NetworkPolicy": {"spec": "nothing listens beyond loopback"},
    "Pod": _below("spec", _POD_INERT | _SECRET_INERT),
    "Job": _below("spec.template.spec", _POD_INERT),
    "Deployment": {
        "spec.selector": "pods are found by their owner",
        "spec.strategy": "all pods are replaced at once",
        "spec.progressDeadlineSeconds": "servers that do not come up are shown as they are",
    }
    | _below("spec.template.spec", _POD_INERT | _SECRET_INERT),
}
"""Why each field has no effect here, by kind."""

_ONLY: dict[str, dict[str, tuple[Any, ...]]] = {
    "Job": {
        "spec.backoffLimit": (0,),
        "spec.completionMode": ("Indexed", "NonIndexed"),
        "spec.podReplacementPolicy": ("TerminatingOrFailed",),
        "spec.template.spec.restartPolicy": ("Never",),
    },
    "Deployment": {"spec.template.spec.restartPolicy": ("Always",)},
}
_REQUIRED: dict[str, tuple[str, ...]] = {
    "Job": ("spec.backoffLimit", "spec.template.spec.restartPolicy", "spec.template.spec.containers"),
    "Deployment": ("spec.template.spec.containers",),
    "Pod": ("spec.containers",),
}


def check_fields(manifest: Manifest) -> None:
    """Raise `Refused` for a kind, a field or a value that local mode would have to ignore."""
    kind = manifest.get("kind", "")
    if kind not in HONOURED:
        raise Refused(f"kind {kind!r} is not known in local mode; known: {', '.join(HONOURED)}")
    for problem in _problems(kind, manifest):
        raise Refused(f"{kind} {manifest['metadata']['name']}: {problem}")


def _problems(kind: str, manifest: Manifest) -> Iterator[str]:
    known = _known(kind)
    for path, value in _leaves(manifest):
        if not any(_matches(path[:length], known) for length in range(1, len(path) + 1)) and value not in ({}, []):
            yield f"{_dotted(path)} has no effect in local mode, so it is refused; leave it out, or use a cluster"
    for field, allowed in _ONLY.get(kind, {}).items():
        if (given := _at(manifest, field)) is not None and given not in allowed:
            yield f"{field} is {given!r}; local mode knows {' and '.join(map(repr, allowed))}"
    for field in _REQUIRED.get(kind, ()):
        if _at(manifest, field) is None:
            yield f"{field} is required"
    containers = _at(manifest, "spec.template.spec.containers") or _at(manifest, "spec.containers") or [None]
    if len(containers) != 1:
        yield f"has {len(containers)} containers; local mode runs one a pod"
    if kind == "Job" and ("parallelism" in manifest["spec"]) != ("completions" in manifest["spec"]):
        yield "spec.parallelism and spec.completions must be given together"


@cache
def _known(kind: str) -> frozenset[Path]:
    always = ["apiVersion", "kind", "metadata", "status"]  # a given status is dropped, as an API server does
    return frozenset(_parts(path) for path in [*always, *HONOURED[kind], *INERT.get(kind, {})])


def _parts(path: str) -> Path:
    return tuple(path.replace("[]", ".[]").split("."))


def _matches(path: Path, known: frozenset[Path]) -> bool:
    return path in known or (*path[:-1], "*") in known


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if value and isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif value and isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, (*path, "[]"))
    else:
        yield path, value


def _dotted(path: Path) -> str:
    return ".".join(path).replace(".[]", "[]")


def _at(manifest: Manifest, path: str) -> Any:
    value: Any = manifest
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
