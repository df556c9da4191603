"""containerd for one node: its configuration, its images, and the clean-up of its containers."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from cluster import images, machine, network, processes
from cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPLATE = Path(__file__).parent / "templates" / "containerd.toml"
_SHIM_SOCKETS = Path("/run/containerd/s")


@dataclass(frozen=True)
class ContainerRuntime:
    """containerd below one state folder."""

    state: Path
    bin: Path

    @property
    def socket(self) -> Path:
        """The socket on which containerd listens."""
        return _socket(self.state)

    @property
    def configuration(self) -> Path:
        """The file that `containerd --config` reads."""
        return self.state / "containerd" / "config.toml"

    def configure(self, *, mounts: Mapping[str, Path]) -> None:
        """Write its configuration. `mounts`: path in every container → folder of this machine, read-only."""
        (self.state / "cni").mkdir()
        self.socket.parent.mkdir()
        text = Template(_TEMPLATE.read_text()).substitute(
            state=self.state, socket=self.socket, pause=images.PAUSE, cni_folder=machine.cni_folder()
        )
        self.configuration.write_text(text)
        default = json.loads(self._run("ctr", "oci", "spec"))
        (self.socket.parent / "base-spec.json").write_text(json.dumps(base_spec(default, mounts=mounts)))
        (self.state / "cni" / "10-dev.conflist").write_text(json.dumps(_cni(self.state)))

    def answers(self) -> bool:
        """Whether containerd answers."""
        command = [self.bin / "ctr", "--address", self.socket, "version"]
        return self.socket.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0

    def load(self, archive: Path) -> None:
        """Import a docker archive or OCI archive, so that pods with `imagePullPolicy: Never` or `IfNotPresent` find its images."""
        if not archive.is_file():
            raise ClusterError(f"there is no image archive {archive}")
        self._run(
            "ctr", "--address", str(self.socket), "--namespace", "k8s.io", "images", "import", "--local", str(archive)
        )

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run([self.bin / program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(f"{program} {' '.join(arguments)} failed: {done.stderr.strip()[-800:]}")
        return done.stdout


def end_shims(state: Path) -> None:
    """End the shims that containerd leaves running, one a pod, and remove their sockets. A shim is found by the socket in its arguments."""
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = arguments.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        if words[0].endswith("containerd-shim-runc-v2") and str(_socket(state)) in words:
            processes.send(int(arguments.parent.name), signal.SIGKILL)
    for note in (state / "containerd" / "state").glob("io.containerd.runtime.v2.task/*/*/bootstrap.json"):
        socket = Path(str(json.loads(note.read_text())["address"]).removeprefix("unix://"))
        if socket.parent == _SHIM_SOCKETS:
            socket.unlink(missing_ok=True)


def base_spec(default: Mapping[str, Any], *, mounts: Mapping[str, Path]) -> dict[str, Any]:
    """Return the OCI spec of every container: the default spec with extra read-only mounts.

    containerd's CRI removes AppArmor, seccomp and resource limits from its own default spec, but not from a given spec: this function does.
    """
    process = {key: value for key, value in default["process"].items() if key not in {"apparmorProfile", "rlimits"}}
    linux = {key: value for key, value in default["linux"].items() if key != "seccomp"}
    extra = [
        {"destination": place, "type": "bind", "source": str(folder), "options": ["bind", "ro", "nosuid", "nodev"]}
        for place, folder in mounts.items()
    ]
    return {**default, "process": process, "linux": linux, "mounts": [*default["mounts"], *extra]}


def _socket(state: Path) -> Path:
    return state / "containerd" / "containerd.sock"


def _cni(state: Path) -> dict[str, Any]:
    addresses = {"subnet": network.POD_RANGE, "rangeStart": "10.244.0.10", "gateway": network.BRIDGE_ADDRESS}
    bridge = {
        "type": "bridge",
        "bridge": network.BRIDGE,
        "isGateway": True,
        "isDefaultGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": f"{state}/cni/addresses", "ranges": [[addresses]]},
    }
    return {"cniVersion": "1.0.0", "name": network.CNI_NETWORK, "plugins": [bridge]}
