"""Pod Security Standard `restricted`, and the two things that we ask beyond it, checked on a manifest. Pure.

The names are those of the Kubernetes page on Pod Security Standards. Only what our pods may hold is known: anything else that could
matter (ephemeral containers, Windows options) is an offence by itself.
"""

from __future__ import annotations

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_PROFILES = {"RuntimeDefault", "Localhost"}
_HOST = ("hostNetwork", "hostPID", "hostIPC")


def offences(pod):
    """Return what keeps a pod (`metadata`, `spec`) from being restricted, each as `path: what it must be`."""
    spec = pod["spec"]
    security = spec.get("securityContext") or {}
    found = [f"{name}: must not be set" for name in (*_HOST, "ephemeralContainers") if spec.get(name)]
    for volume in spec.get("volumes") or ():
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES:
            found.append(f"volumes.{volume['name']}: {', '.join(sorted(kinds - _VOLUMES))} is not allowed")
    found += [f"securityContext.{name}: is not allowed" for name in ("sysctls", "windowsOptions") if security.get(name)]
    if security.get("runAsUser") == 0:
        found.append("securityContext.runAsUser: must not be 0")
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        found += [f"{container['name']}.{offence}" for offence in _container_offences(container, pod=security)]
    return found


def _container_offences(container, *, pod):
    security = container.get("securityContext") or {}
    capabilities = security.get("capabilities") or {}
    non_root = security.get("runAsNonRoot", pod.get("runAsNonRoot"))
    profile = (security.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type")
    wrong = {
        "privileged: must not be true": bool(security.get("privileged")),
        "allowPrivilegeEscalation: must be false": security.get("allowPrivilegeEscalation") is not False,
        "capabilities.drop: must hold ALL": "ALL" not in capabilities.get("drop", ()),
        "capabilities.add: only NET_BIND_SERVICE": not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"},
        "runAsNonRoot: must be true": non_root is not True,
        "runAsUser: must not be 0": security.get("runAsUser") == 0,
        "seccompProfile.type: must be RuntimeDefault or Localhost": profile not in _PROFILES,
        "procMount: must be Default": security.get("procMount", "Default") != "Default",
        "ports: no hostPort": any(port.get("hostPort") for port in container.get("ports") or ()),
        # ours, beyond the standard
        "readOnlyRootFilesystem: must be true": security.get("readOnlyRootFilesystem") is not True,
        "resources.limits.memory: must be set": "memory" not in (container.get("resources") or {}).get("limits", {}),
    }
    return [offence for offence, is_wrong in wrong.items() if is_wrong]
