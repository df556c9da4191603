"""Pods as network namespaces of Linux on one bridge, each with the rules that NetworkPolicies make for it: `PolicyNetwork`.

with PolicyNetwork(pods, policies) as network:
    assert network.connects("train-0", "train-1", 29500)

It does what a network plug-in does that enforces policies; the rules are enforced by nftables. Needs root. Nothing outside of the namespaces changes.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pod_networks import inside_network

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

Manifest = dict[str, Any]
_NUMBERS = count(1)
_SECONDS = 2.0
"""How long a connection may take. One that is refused ends at once."""
_SIDES = {"Ingress": ("input", "from", "saddr"), "Egress": ("output", "to", "daddr")}


@dataclass(frozen=True)
class Pod:
    """Who has an address. Without labels and namespace: a machine outside of the cluster."""

    name: str
    address: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def rules_of(pod: Pod, pods: Sequence[Pod], policies: Iterable[Manifest]) -> str:
    """Return what `nft -f -` reads in the namespace of a pod. Source: the NetworkPolicySpec of the Kubernetes API, for IPv4."""
    lines = ["add table inet policies"]
    for kind, (hook, peers, side) in _SIDES.items():
        chain = f"inet policies {hook}"
        lines.append(f"add chain {chain} {{ type filter hook {hook} priority 0; }}")
        selecting = [policy for policy in policies if _selects(policy, pod) and kind in policy["spec"]["policyTypes"]]
        if not selecting:
            continue
        lines += [f"add rule {chain} meta {hook[0]}ifname lo accept", f"add rule {chain} ct state established accept"]
        for policy in selecting:
            for rule in policy["spec"].get(kind.lower(), ()):
                lines += [
                    f"add rule {chain} {who} {what} accept"
                    for who in _peers(rule.get(peers), side, policy["metadata"]["namespace"], pods)
                    for what in _ports(rule.get("ports"))
                ]
        lines += [f"add rule {chain} meta l4proto tcp reject with tcp reset", f"add rule {chain} reject"]
    return "\n".join(lines)


def _selects(policy: Manifest, pod: Pod) -> bool:
    return policy["metadata"]["namespace"] == pod.namespace and _fits(policy["spec"]["podSelector"], pod.labels)


def _fits(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a selector takes these labels. Of `matchExpressions` it understands `Exists`."""
    expressions = selector.get("matchExpressions", [])
    assert not selector.keys() - {"matchLabels", "matchExpressions"}, selector
    assert {expression["operator"] for expression in expressions} <= {"Exists"}, selector
    exist = {expression["key"] for expression in expressions} <= labels.keys()
    return exist and selector.get("matchLabels", {}).items() <= labels.items()


def _peers(peers: list[Manifest] | None, side: str, namespace: str, pods: Sequence[Pod]) -> Iterator[str]:
    """Yield matches of nft. A rule without peers lets everybody in."""
    if not peers:
        yield ""
    for peer in peers or ():
        if block := peer.get("ipBlock"):
            if ipaddress.ip_network(block["cidr"]).version == 4:
                excepted = f"ip {side} != {{ {', '.join(block['except'])} }}" if block.get("except") else ""
                yield f"ip {side} {block['cidr']} {excepted}"
            continue
        addresses = [pod.address for pod in pods if _is_peer(peer, pod, namespace)]
        if addresses:
            yield f"ip {side} {{ {', '.join(addresses)} }}"


def _is_peer(peer: Manifest, pod: Pod, namespace: str) -> bool:
    if not pod.namespace:
        return False
    chosen = peer.get("namespaceSelector")
    is_there = (
        pod.namespace == namespace if chosen is None else _fits(chosen, {"kubernetes.io/metadata.name": pod.namespace})
    )
    return is_there and _fits(peer.get("podSelector", {}), pod.labels)


def _ports(ports: list[Manifest] | None) -> Iterator[str]:
    if not ports:
        yield ""
    for port in ports or ():
        yield f"{port.get('protocol', 'TCP').lower()} dport {port['port']}"


class PolicyNetwork:
    """The namespaces, from entry to exit. Every pod listens on each of the ports, TCP and UDP."""

    def __init__(self, pods: Sequence[Pod], policies: Sequence[Manifest], *, ports: Sequence[int]) -> None:
        self._pods = {pod.name: pod for pod in pods}
        self._policies, self._ports = policies, ports
        self._prefix = f"policies-{os.getpid()}-{next(_NUMBERS)}"
        self._listening: dict[tuple[str, int, socket.SocketKind], socket.socket] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._add(stack, "bridge")
            self._ip("bridge", "link add bridge type bridge")
            self._ip("bridge", "link set bridge up")
            for number, pod in enumerate(self._pods.values()):
                self._add(stack, pod.name)
                self._connect(pod, f"port{number}")
                stack.enter_context(self._served(pod))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def connects(self, source: str, target: str, port: int) -> bool:
        """Whether a TCP connection comes about."""
        try:
            with self._inside(source), socket.create_connection((self._pods[target].address, port), timeout=_SECONDS):
                return True
        except OSError:
            return False

    def delivers(self, source: str, target: str, port: int) -> bool:
        """Whether a UDP datagram arrives."""
        word = f"{source} {target}".encode()
        with self._inside(source), socket.socket(type=socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(word, (self._pods[target].address, port))
                return self._listening[target, port, socket.SOCK_DGRAM].recv(100) == word
            except OSError:
                return False

    def _add(self, stack: ExitStack, name: str) -> None:
        full = f"{self._prefix}-{name}"
        _run("ip", "netns", "add", full)
        stack.callback(_run, "ip", "netns", "delete", full)

    def _ip(self, name: str, command: str) -> None:
        _run("ip", "-n", f"{self._prefix}-{name}", *command.split())

    def _connect(self, pod: Pod, port: str) -> None:
        self._ip("bridge", f"link add {port} type veth peer name eth0 netns {self._prefix}-{pod.name}")
        self._ip("bridge", f"link set {port} master bridge up")
        for command in (
            f"addr add {pod.address}/32 dev eth0",
            "link set lo up",
            "link set eth0 up",
            "route add default dev eth0",
        ):
            self._ip(pod.name, command)

    @contextmanager
    def _served(self, pod: Pod) -> Iterator[None]:
        """Listen in the namespace of the pod, under its rules."""
        with ExitStack() as stack, self._inside(pod.name):
            for port in self._ports:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    listening = stack.enter_context(socket.socket(type=kind))
                    listening.bind((pod.address, port))
                    if kind == socket.SOCK_STREAM:
                        listening.listen(100)
                    listening.settimeout(_SECONDS / 4)
                    self._listening[pod.name, port, kind] = listening
            rules = rules_of(pod, tuple(self._pods.values()), self._policies)
            _run("nft", "-f", "-", given=rules)
            kept = stack.pop_all()
        with kept:
            yield

    def _inside(self, name: str) -> AbstractContextManager[None]:
        return inside_network(Path(f"/run/netns/{self._prefix}-{name}"))


def _run(*command: str, given: str = "") -> None:
    ended = subprocess.run(command, input=given, text=True, capture_output=True, check=False)
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}"
