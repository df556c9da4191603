"""A real one-node Kubernetes: a control plane, containerd, kubelet, kube-proxy and CoreDNS, on which pods run: `NodeCluster`.

It needs root and a few Debian packages (`machine.check`); a machine holds one node cluster. All its files lie below its state folder.
Outside of it are the network (`network`), a control group (`cgroups`) and kernel settings (`machine`), which `down` restores.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import binaries, cgroups, container_runtime, images, machine, network, node_agents, processes, volumes
from cluster.access import RunningCluster
from cluster.container_runtime import ContainerRuntime
from cluster.control_plane import ControlPlane, ForNodes, answers
from cluster.errors import ClusterError, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONGEST_STATE_PATH = 60
"""Characters. The path of a unix socket has at most 107; the kubelet's longest path has about 40 below the state folder."""
_CONTAINERS_LOG_LINKS = Path("/var/log/containers")
_DEVICE_PLUGIN_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
"""A kubelet listens there, whatever its root folder is."""
_AGENTS = ("coredns", "kube-proxy", "kubelet")


@dataclass
class NodeCluster(RunningCluster):
    """A one-node cluster under one state folder. As a context manager it starts the cluster, and stops it at the end."""

    mounts: Mapping[str, Path] = field(default_factory=dict)
    """Path in every container → folder of this machine that is mounted there, read-only, without a word in any manifest."""
    gpus: int = 0
    """The number of `nvidia.com/gpu` that the node reports; no pod gets a real device."""
    audit: bool = False
    """Whether the API server writes each request's metadata to `logs/audit.log`."""
    die_with_parent: bool = True
    """Whether the programs are killed when the thread that started them ends; the next `up` then cleans up."""
    say: Callable[[str], None] = print
    plane: ControlPlane = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mounts = {place: folder.resolve() for place, folder in self.mounts.items()}
        for_nodes = ForNodes(address=network.BRIDGE_ADDRESS, clients=node_agents.CLIENTS)
        self.plane = ControlPlane(
            self.state, for_nodes=for_nodes, audit=self.audit, die_with_parent=self.die_with_parent, say=self.say
        )

    @property
    def api_address_for_pods(self) -> str:
        """The API server's address for pods that do not use that of their service account: the same as on this machine."""
        return self.server_url

    def up(self) -> None:
        """Start everything and return when the node is Ready. Does nothing when this cluster is up with the same settings.

        Raises MachineError if this machine cannot run a node; ClusterError if a program does not start or another cluster runs; and
        binaries.BuildError or go_toolchain.ToolchainError if a program is missing and cannot be built.
        """
        if self._is_up():
            self.say(f"the node cluster at {self.server_url} is up already: export KUBECONFIG={self.kubeconfig}")
            return
        machine.check()
        self._check_settings()
        self.remove_leftovers()
        bin_folder = binaries.ensure(*binaries.NODE, say=self.say)
        started = time.monotonic()
        try:
            self._launch(bin_folder)
        except BaseException:
            self.down()
            raise
        seconds = time.monotonic() - started
        self.say(f"node cluster at {self.server_url} is up after {seconds:.1f} s: export KUBECONFIG={self.kubeconfig}")

    def down(self) -> None:
        """End all programs, restore the machine, delete all data; logs stay. Does nothing if there is no cluster.

        Raises MachineError if something stays mounted below the state folder; nothing is deleted then.
        """
        if not self._note.exists():
            return
        self._hang_up()
        started = time.monotonic()
        programs = self.plane.programs
        programs.stop(*_AGENTS)
        # if not, the pods and the kernel settings on this machine belong to another cluster
        is_ours = network.owner() == self.state
        if is_ours:
            cgroups.end_processes()
        programs.stop("containerd")
        container_runtime.end_shims(self.state)
        self.plane.down()
        machine.unmount(machine.mounts_below(self.state))
        if is_ours:
            cgroups.remove()
            machine.restore_kernel_settings(self._noted()["kernel_settings"])
            _DEVICE_PLUGIN_SOCKET.unlink(missing_ok=True)
            network.remove()
        self._delete()
        self.say(f"node cluster in {self.state} is down after {time.monotonic() - started:.1f} s")

    def remove_leftovers(self) -> None:
        """Remove what a killed cluster left on this machine; `up` does it too. Raises ClusterError if another cluster runs."""
        if not self._note.exists() and any(program.alive for program in processes.recorded(self.state)):
            raise ClusterError(f"{self.state} holds a control plane without a node: `down` first")
        other = network.owner()
        if other and other != self.state and any(program.alive for program in processes.recorded(other)):
            raise ClusterError(f"another node cluster is up on this machine, in {other}: `down --state {other}` first")
        NodeCluster(self.state, say=self.say).down()
        if other is None or other == self.state:
            return
        if lost := processes.working_in(other):
            raise ClusterError(f"{other} was deleted under a running node cluster: end its processes first ({lost})")
        NodeCluster(other, say=self.say).down()
        if network.owner():  # its folder is gone, and with it the kernel settings to restore
            network.remove()

    def load_image(self, archive: Path) -> None:
        """Import the images of a docker archive or OCI archive; pods find them with `imagePullPolicy: Never` or `IfNotPresent`.

        Raises ClusterError if there is no archive or no node.
        """
        runtime = ContainerRuntime(self.state, bin=self.bin)
        if not self._note.exists():
            raise ClusterError(f"the cluster in {self.state} has no node: start it with --node")
        runtime.load(archive)

    def share(self, name: str, folder: Path, *, namespace: str = "default", size: str = "10Gi") -> None:
        """Make a claim on a folder of this machine that many pods can mount at once. A missing folder is made, with write access for every user.

        Raises ClusterError if the API server refuses.
        """
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o1777)
        manifests = volumes.shared_claim(name, folder.resolve(), namespace=namespace, size=size)
        self._apply(*manifests)

    def _apply(self, *manifests: dict[str, Any]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        applied = self.kubectl("apply", "--server-side", "-f", "-", stdin=text)
        if applied.returncode != 0:
            raise ClusterError(f"the API server refused: {applied.stderr.strip()}")

    @property
    def _note(self) -> Path:
        """The file that is written first and removed last: while it exists, there is something to restore."""
        return self.state / "node.json"

    def _noted(self) -> dict[str, Any]:
        noted: dict[str, Any] = json.loads(self._note.read_text())
        return noted

    def _wanted(self) -> dict[str, Any]:
        return {
            "mounts": {place: str(path) for place, path in self.mounts.items()},
            "gpus": self.gpus,
            "audit": self.audit,
        }

    def _is_up(self) -> bool:
        """Whether all programs of this cluster run. Raises ClusterError if they run with other settings."""
        running = processes.recorded(self.state)
        if not (self._note.exists() and running and all(program.alive for program in running)):
            return False
        if not answers(f"{self.server_url}/readyz"):
            return False
        if self._noted()["wanted"] != self._wanted():
            raise ClusterError(f"the node cluster in {self.state} is up with other settings: `down` first")
        return True

    def _check_settings(self) -> None:
        for place, folder in self.mounts.items():
            if not Path(place).is_absolute() or not folder.is_dir():
                raise ClusterError(
                    f"a mount needs a folder of this machine and an absolute path in pods, not {folder}={place}"
                )
        if len(str(self.state)) > _LONGEST_STATE_PATH:
            raise MachineError(
                f"the state folder's path is longer than {_LONGEST_STATE_PATH} characters, too long for unix sockets below it: {self.state}"
            )

    def _launch(self, bin_folder: Path) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        note = {"wanted": self._wanted(), "kernel_settings": machine.kernel_settings()}
        self._note.write_text(json.dumps(note))
        network.create(self.state)
        cgroups.create()
        self.plane.launch(bin_folder)
        self._start_runtime(bin_folder)  # while the API server boots
        self.plane.finish()
        self._apply(*node_agents.DNS_ROLE)
        self._start_agents(bin_folder)
        path = f"/api/v1/nodes/{node_agents.NODE_NAME}"
        self.plane.programs.wait_for("the node", lambda: self._is_ready(path), program="kubelet")
        if self.gpus:
            self._report_gpus(path)

    def _start_runtime(self, bin_folder: Path) -> None:
        runtime = ContainerRuntime(self.state, bin=bin_folder)
        runtime.configure(mounts=self.mounts)
        command = [str(bin_folder / "containerd"), f"--config={runtime.configuration}"]
        environment = {"PATH": f"{bin_folder}:{machine.PATH}"}  # where it looks for its shim, and the shim for runc
        self.plane.programs.start("containerd", command, environment=environment)
        self.plane.programs.wait_for("containerd", runtime.answers, program="containerd")
        archive = self.state / "containerd" / "pause.tar"
        images.pack(images.PAUSE, files={"/pause": bin_folder / "pause"}, entrypoint=["/pause"], out=archive)
        runtime.load(archive)

    def _start_agents(self, bin_folder: Path) -> None:
        programs = self.plane.programs
        socket = ContainerRuntime(self.state, bin=bin_folder).socket
        agents = node_agents.configure(self.state, bin_folder=bin_folder, runtime_socket=socket)
        for agent in agents:
            programs.start(agent.name, agent.command, environment={"PATH": machine.PATH})
        for agent in agents:
            programs.wait_for(agent.name, lambda url=agent.ready_url: answers(url), program=agent.name)
        kept = {key: value for key, value in self._noted()["kernel_settings"].items() if key.startswith("kernel.panic")}
        machine.restore_kernel_settings(kept)  # a kubelet makes a kernel fault restart the machine

    def _report_gpus(self, path: str) -> None:
        """Let the node at this path report GPUs. Raises ClusterError if the API server refuses."""
        count = {"nvidia.com/gpu": str(self.gpus)}
        body = {"status": {"capacity": count, "allocatable": count}}
        reply = self.request("PATCH", f"{path}/status", body, content_type="application/merge-patch+json")
        if reply.status != 200:
            raise ClusterError(f"the node cannot report {self.gpus} GPUs: {reply.status} {reply.body}")

    def _is_ready(self, path: str) -> bool:
        reply = self.request("GET", path)
        conditions = reply.body["status"].get("conditions", []) if reply.status == 200 else []
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def _delete(self) -> None:
        for folder in ("containerd", "kubelet", "cni", "agents"):
            shutil.rmtree(self.state / folder, ignore_errors=True)
        for link in _CONTAINERS_LOG_LINKS.glob("*"):
            if link.is_symlink() and self.state in link.readlink().parents:
                link.unlink()
        self._note.unlink()
