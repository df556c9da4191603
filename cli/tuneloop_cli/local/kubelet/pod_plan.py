"""From a pod and its ConfigMaps to a process: command, environment, files. Pure.

There are no mounts. Trainer, server, router and comparator take every path from their configuration file, so the mount paths are replaced by local
folders in that file, in the command and in the environment. Where several mount paths are a prefix of a path, the longest one counts.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.comparator_config import COMPARATOR_CONFIG_PATH
from tuneloop_api.contract.router import ROUTER_SETTINGS_PATH
from tuneloop_api.contract.run_config import RUN_CONFIG_PATH
from tuneloop_api.contract.server_config import SERVER_CONFIG_PATH
from tuneloop_api.wire.names import COMPLETION_INDEX
from tuneloop_cli.local import api_keys
from tuneloop_cli.local.processes.ports import LOOPBACK
from tuneloop_cli.local.processes.processes import POD_UID_VARIABLE
from tuneloop_operator.desired.model_deployment import access

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_operator.cluster import Manifest

_TERMINATION_MESSAGE = "/dev/termination-log"
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_FIELD = re.compile(r"metadata\.(name|namespace|uid|labels|annotations)(?:\['([^']+)'\])?")
_RUN_JSON, _SERVER_JSON, _ROUTER_JSON, _COMPARATOR_JSON = (
    Path(path).name for path in (RUN_CONFIG_PATH, SERVER_CONFIG_PATH, ROUTER_SETTINGS_PATH, COMPARATOR_CONFIG_PATH)
)
_COMPARED = ("stable", "canary")
RENDEZVOUS, _HTTP, METRICS = "rendezvous", "http", "metrics"
"""Names of ports: that of a Job, and those of the containers of servers, routers and comparators."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The folders of local mode on this machine; all paths are absolute."""

    root: Path

    def pod(self, pod: Manifest) -> Path:
        """Return the folder that is removed with the pod."""
        return self.root.joinpath("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])

    def log(self, pod: Manifest) -> Path:
        """Return the file with the pod's output."""
        return self.root.joinpath("logs", pod["metadata"]["namespace"], f"{pod['metadata']['name']}.log")

    def claim(self, name: str) -> Path:
        """Return the folder that stands for a PersistentVolumeClaim."""
        return self.root / "claims" / name

    @property
    def secrets(self) -> Path:
        """The folder with the session's token."""
        return self.root / "secrets"

    def secret(self, volume: str) -> Path:
        """The folder that stands for the Secret behind a volume of this name."""
        return self.root / "secret-volumes" / volume


@dataclass(frozen=True, kw_only=True)
class ProcessPlan:
    """A process to start, and the files that it needs before."""

    command: tuple[str, ...]
    environment: dict[str, str]
    files: dict[Path, str]
    folders: tuple[Path, ...]
    termination_message: Path
    ports: Mapping[str, int]
    """Of this machine, by name."""
    services: Mapping[str, int]
    """Ports of this machine that stand for the Services that its configuration names, by host."""


def config_maps_of(pod: Manifest) -> list[str]:
    """Return the names of the ConfigMaps that the pod reads."""
    return [volume["configMap"]["name"] for volume in pod["spec"].get("volumes", ()) if "configMap" in volume]


def service_hosts_of(config_maps: Iterable[Manifest]) -> set[str]:
    """Return the hosts of Services to which a pod with these ConfigMaps connects: a comparator asks two revisions."""
    texts = [text for found in config_maps if (text := (found.get("data") or {}).get(_COMPARATOR_JSON))]
    return {config[side]["host"] for config in map(json.loads, texts) for side in _COMPARED}


def plan_process(
    pod: Manifest,
    *,
    config_maps: Mapping[str, Manifest],
    folders: Folders,
    ports: Mapping[str, int],
    devices: str,
    inherited: Mapping[str, str],
    runtime: Path | None = None,
    services: Mapping[str, int] | None = None,
) -> ProcessPlan:
    """Return the process of a pod. Raises ValueError for an environment variable that reads an unknown field, or whose value is nowhere.

    `ports` has the rendezvous port of its Job, or the port that stands for each port of its container; `devices` is CUDA_VISIBLE_DEVICES. The
    pod's environment is added to the `inherited` one and wins over it. `runtime` is the folder of a router that stands for its volume in memory.
    `services` has a port for each of `service_hosts_of`.
    """
    services = services or {}
    container = pod["spec"]["containers"][0]
    own = folders.pod(pod)
    message = own / "termination-message"
    scratch, fixed = _mounts(pod, folders=folders, runtime=runtime)
    fixed[container.get("terminationMessagePath", _TERMINATION_MESSAGE)] = message
    files = {
        own / volume["name"] / name: _file(name, text, mounts=fixed, ports=ports, services=services)
        for volume in pod["spec"].get("volumes", ())
        if "configMap" in volume
        for name, text in (config_maps[volume["configMap"]["name"]].get("data") or {}).items()
    }
    environment = {**inherited, "CUDA_VISIBLE_DEVICES": devices}
    environment |= _own_variables(pod, mounts=fixed | scratch, inherited=inherited)
    words = [*container.get("command", ()), *container.get("args", ())]
    program = sys.executable if words[0] in {"python", "python3"} else words[0]
    return ProcessPlan(
        command=(program, *(_rewritten(word, fixed | scratch) for word in words[1:])),
        environment=environment | {POD_UID_VARIABLE: pod["metadata"]["uid"]},
        files=files,
        folders=tuple(scratch.values()),
        termination_message=message,
        ports=ports,
        services=services,
    )


def devices_of(pod: Manifest, gpus: tuple[str, ...]) -> str:
    """Return CUDA_VISIBLE_DEVICES: the pods of a gang share the machine's GPUs in the order of their indexes."""
    limits = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
    count = sum(int(amount) for name, amount in limits.items() if name not in {"cpu", "memory", "ephemeral-storage"})
    first = count * int(pod["metadata"].get("annotations", {}).get(COMPLETION_INDEX, 0))
    return ",".join(gpus[first : first + count])


def _mounts(pod: Manifest, *, folders: Folders, runtime: Path | None) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the mount paths of scratch volumes, and those of all others, with the folders behind them.

    Scratch paths are not rewritten in configuration files: there, `file:///tmp/…` means the /tmp of this machine. A router's has one: the folder
    `runtime`, for its volume in memory.
    """
    scratch, fixed = {}, {}
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", ())}
    for mount in pod["spec"]["containers"][0].get("volumeMounts", ()):
        volume, path = volumes[mount["name"]], mount["mountPath"]
        if runtime is not None and volume.get("emptyDir", {}).get("medium") == "Memory":
            fixed[path] = runtime
        elif "emptyDir" in volume:
            scratch[path] = folders.pod(pod) / volume["name"]
        elif "configMap" in volume:
            fixed[path] = folders.pod(pod) / volume["name"]
        elif "projected" in volume:
            fixed[path] = folders.secrets
        elif "secret" in volume:  # of ours: volumes of users are left out
            fixed[path] = _secret(volume, folders)
        else:
            fixed[path] = folders.claim(volume["persistentVolumeClaim"]["claimName"])
    return scratch, fixed


def _secret(volume: Manifest, folders: Folders) -> Path:
    """Return the folder that stands for a Secret: of API keys one for each key, for feedback one for all deployments."""
    folder, source = folders.secret(volume["name"]), volume["secret"]
    if volume["name"] != access.VOLUME:
        return folder
    return api_keys.folder_of(folder, secret=source["secretName"], key=source["items"][0]["key"])


def _file(
    name: str, text: str, *, mounts: Mapping[str, Path], ports: Mapping[str, int], services: Mapping[str, int]
) -> str:
    if name not in {_RUN_JSON, _SERVER_JSON, _ROUTER_JSON, _COMPARATOR_JSON}:
        return text
    config = on_this_machine(json.loads(text), mounts)
    if name == _RUN_JSON:
        config["paths"].setdefault("terminationMessage", str(mounts[_TERMINATION_MESSAGE]))
        if "rendezvous" in config:
            config["rendezvous"] = {"address": LOOPBACK, "port": ports[RENDEZVOUS]}
    elif name == _COMPARATOR_JSON:
        config |= {"host": LOOPBACK, "port": ports[_HTTP], "controlPort": ports[METRICS]}
        for side in _COMPARED:
            config[side] |= {"host": LOOPBACK, "port": services[config[side]["host"]]}
    else:
        config |= {"host": LOOPBACK, "port": ports[_HTTP]}
        if METRICS in ports:
            config["metricsPort"] = ports[METRICS]
        if name == _SERVER_JSON:
            config["terminationMessage"] = str(mounts[_TERMINATION_MESSAGE])
        if name == _ROUTER_JSON:
            config["quietSeconds"] = 0  # no proxy before this one has to learn that it goes
    return json.dumps(config, indent=1, ensure_ascii=False)


def on_this_machine(value: Any, mounts: Mapping[str, Path]) -> Any:
    """Return JSON data in which every path below a mount path is the path below its folder."""
    if isinstance(value, dict):
        return {key: on_this_machine(inner, mounts) for key, inner in value.items()}
    if isinstance(value, list):
        return [on_this_machine(inner, mounts) for inner in value]
    return _rewritten(value, mounts) if isinstance(value, str) else value


def _rewritten(text: str, mounts: Mapping[str, Path]) -> str:
    for prefix in sorted(mounts, key=len, reverse=True):
        if text == prefix or text.startswith(f"{prefix}/"):
            return f"{mounts[prefix]}{text[len(prefix) :]}"
    return text


def _own_variables(pod: Manifest, *, mounts: Mapping[str, Path], inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the pod's container. `$(NAME)` in a value is an earlier variable, and `$$` a dollar, as in Kubernetes."""
    own: dict[str, str] = {}
    for variable in pod["spec"]["containers"][0].get("env", ()):
        name, source = variable["name"], variable.get("valueFrom")
        if source is None:
            own[name] = _rewritten(_expanded(str(variable.get("value", "")), own), mounts)
        elif "fieldRef" in source:
            own[name] = _field(variable, pod)
        elif name in inherited:
            own[name] = inherited[name]  # there are no Secrets and ConfigMaps of users here
        elif not any(reference.get("optional") for reference in source.values()):
            raise ValueError(f"env {name}: not in the environment of this command, and no Secret or ConfigMap is read")
    return own


def _expanded(text: str, known: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda found: known.get(found[1], found[0]) if found[1] is not None else "$", text)


def _field(variable: dict[str, Any], pod: Manifest) -> str:
    path = variable["valueFrom"]["fieldRef"]["fieldPath"]
    match = _FIELD.fullmatch(path)
    if match is None:
        raise ValueError(f"env {variable['name']}: the field {path} is not known in local mode")
    field = pod["metadata"].get(match[1]) or ""
    return str(field.get(match[2], "") if isinstance(field, dict) else field)
