"""Volumes of the pods of both kinds: what a spec may mount, and the names and paths that are ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field

from tuneloop_api.v1alpha1.common import Opaque
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, exactly_one
from tuneloop_api.wire.text_formats import MOUNT_PATH, VOLUME_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAMES = frozenset({"config", "tmp", "home", "token", "shm"})
_PREFIXES = ("claim-", "tuneloop-")
_PROGRAMS = "the programs of the image lie there"
_SYSTEM = "the container runtime mounts it"
_TOKENS = "tokens are mounted there"
_PATHS = {
    "/etc/tuneloop": "the operator mounts the configuration there",
    "/etc/tuneloop-ca": "the operator mounts the trusted authorities there",
    "/tuneloop": "the operator mounts claims there",
    "/tmp": "it is the scratch folder of the pod",  # noqa: S108  (an emptyDir of the pod's own)
    "/home/tuneloop": "it is the home of the pod's user",
    **dict.fromkeys(("/dev", "/proc", "/sys"), _SYSTEM),
    **{f"{run}/secrets/{owner}": _TOKENS for run in ("/var/run", "/run") for owner in ("tuneloop", "kubernetes.io")},
    **dict.fromkeys(("/usr", "/opt/venv", "/bin", "/sbin", "/lib", "/lib64"), _PROGRAMS),
}
"""Why nothing may be mounted at a path, below it or above it."""


class Volume(SpecModel):
    """A folder in the containers, and where the files in it come from: one source, as Kubernetes' own object."""

    name: Annotated[str, VOLUME_NAME.text(most=63)]
    """Name of the volume, each at most once; names of ours are refused. For example `trackers`."""
    mount_path: Annotated[str, MOUNT_PATH.text(most=256)]
    """Folder at which the containers see the files. Paths that are ours or the system's are refused. For example `/etc/trackers`."""
    read_only: bool | None = None
    """Whether the containers may only read; false applies only to `persistentVolumeClaim` and `csi`. Default: true."""
    secret: Opaque | None = None
    """A Secret whose keys are the files. Not together with another source. For example `{secretName: trackers}`."""
    config_map: Opaque | None = None
    """A ConfigMap whose keys are the files. Not together with another source. For example `{name: proxies}`."""
    persistent_volume_claim: Opaque | None = None
    """A claim whose files all pods share. Not together with another source. For example `{claimName: lexicons}`."""
    projected: Opaque | None = None
    """Files of Secrets and ConfigMaps, no tokens. Not together with another source. For example `{sources: [{secret: {name: trackers}}, {configMap: {name: proxies}}]}`."""
    csi: Opaque | None = None
    """An ephemeral volume of a CSI driver. Not together with another source. For example `{driver: secrets-store.csi.k8s.io, readOnly: true}`."""

    rules = (
        exactly_one("secret", "config_map", "persistent_volume_claim", "projected", "csi"),
        Rule(
            field="readOnly",
            reason="FieldValueForbidden",
            message="can be false only for persistentVolumeClaim and csi, which alone can be written to; for example true",
            cel="self.?readOnly.orValue(true) || has(self.persistentVolumeClaim) || has(self.csi)",
            holds=lambda volume: volume.read_only is not False or volume.persistent_volume_claim is not None or volume.csi is not None,
        ),
    )  # fmt: skip


Volumes: TypeAlias = Annotated[list[Volume], Field(max_length=32)]


@dataclass(frozen=True, kw_only=True)
class VolumeRefusal:
    """A volume that cannot be mounted, and why."""

    number: int
    """Place in the list, from 0."""
    field: str
    """The wrong field's name on the wire."""
    given: str
    allowed: str
    """What is allowed, as part of a sentence."""
    example: str


def refused_volumes(volumes: Sequence[Volume]) -> Iterator[VolumeRefusal]:
    """Yield the volumes whose names or paths are ours, or meet those of an earlier volume."""
    for number, volume in enumerate(volumes):
        earlier = volumes[:number]
        if allowed := _wrong_name(volume.name, [other.name for other in earlier]):
            yield VolumeRefusal(
                number=number, field="name", given=volume.name, allowed=allowed, example=VOLUME_NAME.example
            )
        if allowed := _wrong_path(volume.mount_path, [other.mount_path for other in earlier]):
            yield VolumeRefusal(
                number=number, field="mountPath", given=volume.mount_path, allowed=allowed, example=MOUNT_PATH.example
            )


def _wrong_name(name: str, earlier: list[str]) -> str:
    """Return what is allowed in place of a name that cannot be used; empty if it can."""
    if name in _NAMES or name.startswith(_PREFIXES):
        ours = ", ".join([*sorted(_NAMES), *(f"{prefix}…" for prefix in _PREFIXES)])
        return f"any name but {ours} is allowed: volumes of the operator have these names"
    if name in earlier:
        return f"each volume has a name of its own; volumes[{earlier.index(name)}] has this name, too"
    return ""


def _wrong_path(path: str, earlier: list[str]) -> str:
    """Return what is allowed in place of a path that cannot be used; empty if it can."""
    for ours, why in _PATHS.items():
        if _meet(path, ours):
            return f"any path is allowed that is neither in nor above {ours}: {why}"
    for number, other in enumerate(earlier):
        if _meet(path, other):
            return f"no volume lies in another; volumes[{number}] is mounted at {other}"
    return ""


def _meet(path: str, other: str) -> bool:
    """Whether two folders are the same, or one lies in the other."""
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")
