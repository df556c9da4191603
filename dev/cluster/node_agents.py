"""The configuration of kubelet, kube-proxy and CoreDNS. No program is started here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from free_ports import free_ports

from cluster import cgroups, network

NODE_NAME = "dev-node"
CLIENTS = {
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE_NAME}",
    "kube-proxy": "/CN=system:kube-proxy",
    "coredns": "/CN=system:coredns",
}
"""The subjects of client certificates; Kubernetes itself gives the first two their rights."""
_COREFILE = Path(__file__).parent / "templates" / "Corefile"
_READS = ["list", "watch"]
_RBAC = "rbac.authorization.k8s.io"
DNS_ROLE: tuple[dict[str, Any], ...] = (
    {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "dev-coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": _READS},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _READS},
        ],
    },
    {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "dev-coredns"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "dev-coredns"},
        "subjects": [{"kind": "User", "apiGroup": _RBAC, "name": "system:coredns"}],
    },
)


@dataclass(frozen=True)
class Agent:
    """A program, and the URL that answers 200 when the program is ready."""

    name: str
    command: list[str]
    ready_url: str


def configure(state: Path, *, bin_folder: Path, runtime_socket: Path) -> tuple[Agent, ...]:
    """Write the configuration of all three programs, and return the programs in the order in which they start."""
    for folder in ("kubelet/root", "kubelet/pod-logs", "kubelet/static", "agents"):
        (state / folder).mkdir(parents=True)
    (state / "kubelet" / "resolv.conf").touch()  # pods have the cluster's name server only
    ports = free_ports(6)
    return (
        _kubelet(state, bin_folder=bin_folder, socket=runtime_socket, ports=ports[:2]),
        _kube_proxy(state, bin_folder=bin_folder, ports=ports[2:4]),
        _coredns(state, bin_folder=bin_folder, ports=ports[4:]),
    )


def _kubelet(state: Path, *, bin_folder: Path, socket: Path, ports: list[int]) -> Agent:
    port, health = ports
    folder, pki = state / "kubelet", state / "pki"
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.NAME}",
        "failSwapOn": False,
        "oomScoreAdj": 0,  # root without CAP_SYS_RESOURCE may not lower it
        "containerRuntimeEndpoint": f"unix://{socket}",
        "podLogsDir": f"{folder}/pod-logs",
        "staticPodPath": f"{folder}/static",
        "volumePluginDir": f"{folder}/volume-plugins",
        "address": network.BRIDGE_ADDRESS,
        "port": port,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": health,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDomain": "cluster.local",
        "clusterDNS": [network.BRIDGE_ADDRESS],
        "resolvConf": f"{folder}/resolv.conf",
        "maxPods": 200,
        "imageGCHighThresholdPercent": 100,  # an image that was loaded by hand cannot be pulled again
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "shutdownGracePeriod": "0s",
        "eventRecordQPS": 100,
        "eventBurst": 200,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "makeIPTablesUtilChains": False,
    }
    command = [
        str(bin_folder / "kubelet"), f"--config={_written(state, 'kubelet', configuration)}", f"--kubeconfig={pki}/kubelet.kubeconfig",
        f"--hostname-override={NODE_NAME}", f"--node-ip={network.BRIDGE_ADDRESS}", f"--root-dir={folder}/root", f"--cert-dir={folder}/pki",
    ]  # fmt: skip
    return Agent("kubelet", command, ready_url=f"http://127.0.0.1:{health}/healthz")


def _kube_proxy(state: Path, *, bin_folder: Path, ports: list[int]) -> Agent:
    metrics, health = ports
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "oomScoreAdj": 0,
        "clientConnection": {"kubeconfig": f"{state}/pki/kube-proxy.kubeconfig"},
        "clusterCIDR": network.POD_RANGE,
        "bindAddress": "127.0.0.1",
        "metricsBindAddress": f"127.0.0.1:{metrics}",
        "healthzBindAddress": f"127.0.0.1:{health}",
        "nodePortAddresses": [f"{network.BRIDGE_ADDRESS}/32"],
        "nftables": {"minSyncPeriod": "100ms"},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    command = [
        str(bin_folder / "kube-proxy"), f"--config={_written(state, 'kube-proxy', configuration)}", f"--hostname-override={NODE_NAME}",
    ]  # fmt: skip
    return Agent("kube-proxy", command, ready_url=f"http://127.0.0.1:{health}/livez")


def _coredns(state: Path, *, bin_folder: Path, ports: list[int]) -> Agent:
    health, ready = ports
    corefile = state / "agents" / "Corefile"
    kubeconfig = state / "pki" / "coredns.kubeconfig"
    text = Template(_COREFILE.read_text())
    corefile.write_text(
        text.substitute(address=network.BRIDGE_ADDRESS, health=health, ready=ready, kubeconfig=kubeconfig)
    )
    return Agent(
        "coredns", [str(bin_folder / "coredns"), "-conf", str(corefile)], ready_url=f"http://127.0.0.1:{ready}/ready"
    )


def _written(state: Path, name: str, configuration: dict[str, Any]) -> Path:
    path = state / "agents" / f"{name}.json"
    path.write_text(json.dumps(configuration, indent=1))
    return path
