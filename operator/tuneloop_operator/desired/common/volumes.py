"""The volumes of an object, and the authorities that the administrator trusts. A Secret is a name here; only the kubelet reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.pod_env import EnvVariable
from tuneloop_api.v1alpha1.pod_volumes import refused_volumes

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.pod_volumes import Volume
    from tuneloop_api.v1alpha1.pods import PodOptions
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.settings.trusted_ca import TrustedCa


CA_DIRECTORY = "/etc/tuneloop-ca"
_CA_NAME, _CA_FILE = "tuneloop-ca", "ca.crt"
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Of OpenSSL with httpx and aiohttp, of requests, and of curl."""


def given_volumes(options: PodOptions, settings: OperatorSettings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the volumes of a pod that the administrator and the object ask for, and its container's mounts."""
    volumes = options.volumes or []
    # such a volume is refused; a stored object may have it all the same
    refused = {refusal.number for refusal in refused_volumes(volumes)}
    kept = [volume for number, volume in enumerate(volumes) if number not in refused]
    trusted = settings.trusted_ca
    authorities, mounts = ([_authorities(trusted)], [_CA_MOUNT]) if trusted else ([], [])
    return [*authorities, *map(_volume, kept)], [*mounts, *map(_mount, kept)]


def has_given_volumes(options: PodOptions, settings: OperatorSettings) -> bool:
    """Whether the pods have volumes that may be missing, because the user or the administrator fills them."""
    return bool(options.volumes or settings.trusted_ca)


def trusted_variables(settings: OperatorSettings) -> list[EnvVariable]:
    """Return the variables that name the bundle of trusted authorities; none without a bundle."""
    names = _CA_VARIABLES if settings.trusted_ca else ()
    return [EnvVariable(name=name, value=f"{CA_DIRECTORY}/{_CA_FILE}") for name in names]


_CA_MOUNT = {"name": _CA_NAME, "mountPath": CA_DIRECTORY, "readOnly": True}


def _authorities(trusted: TrustedCa) -> dict[str, Any]:
    items = [{"key": trusted.key, "path": _CA_FILE}]
    if trusted.secret:
        return {"name": _CA_NAME, "secret": {"secretName": trusted.secret, "items": items}}
    return {"name": _CA_NAME, "configMap": {"name": trusted.config_map, "items": items}}


def _volume(volume: Volume) -> dict[str, Any]:
    wire = volume.to_wire()
    source = {name: wire[name] for name in wire if name not in {"name", "mountPath", "readOnly"}}
    if volume.persistent_volume_claim is not None and _is_read_only(volume):
        source["persistentVolumeClaim"] = volume.persistent_volume_claim | {"readOnly": True}
    return {"name": volume.name} | source


def _mount(volume: Volume) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": volume.name, "mountPath": volume.mount_path}
    return mount | ({"readOnly": True} if _is_read_only(volume) else {})


def _is_read_only(volume: Volume) -> bool:
    return volume.read_only is not False
