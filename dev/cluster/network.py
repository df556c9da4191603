"""The node's network: a bridge of its own, whose traffic never leaves this machine.

There is no default route out and no masquerade: pods reach each other and this machine, nothing else. The range of Service addresses is
routed onto the bridge, so that an address which kube-proxy has not programmed never takes the machine's default route. A machine holds one
node cluster, because it has one such bridge: the alias of the bridge names the state folder that owns it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from pathlib import Path

from cluster import machine
from cluster.certificates import SERVICE_RANGE
from cluster.errors import ClusterError, MachineError

BRIDGE = "devk8s0"
BRIDGE_ADDRESS = "10.244.0.1"
"""The address of this machine for pods."""
POD_RANGE = "10.244.0.0/24"
CNI_NETWORK = "devk8s"
_TABLE = "devk8s"
_KUBE_PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))
_RULES = f"""
table inet {_TABLE} {{
  chain forward {{
    type filter hook forward priority 10; policy accept;
    iifname "{BRIDGE}" oifname != "{BRIDGE}" reject
    oifname "{BRIDGE}" iifname != "{BRIDGE}" drop
  }}
}}
"""
_CNI_RESULTS = Path("/var/lib/cni/results")


def owner() -> Path | None:
    """Return the state folder of the node cluster on this machine; None when there is none."""
    alias = Path(f"/sys/class/net/{BRIDGE}/ifalias")
    return Path(alias.read_text().strip()) if alias.exists() else None


def create(state: Path) -> None:
    """Make the bridge, its routes and the rules that keep traffic on this machine; `state` becomes its owner.

    Raises MachineError where the kernel refuses, the ranges are in use, or a kube-proxy that is not ours runs.
    """
    if taken := _taken():
        raise MachineError(
            f"a node cluster needs the addresses {POD_RANGE} and {SERVICE_RANGE}; {taken} is in use here"
        )
    if _table_exists(*_KUBE_PROXY_TABLES[0]):
        raise MachineError("this machine has the nftables table ip kube-proxy: it is a Kubernetes node already")
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "link", "set", BRIDGE, "alias", str(state))
    _run("nft", "-f", "-", stdin=_RULES)
    _run("ip", "addr", "add", f"{BRIDGE_ADDRESS}/24", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    _run("ip", "route", "add", SERVICE_RANGE, "dev", BRIDGE, "src", BRIDGE_ADDRESS)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def remove() -> None:
    """Remove the bridge, the tables (also those of kube-proxy), and the records of the CNI plugins."""
    for family, name in (("inet", _TABLE), *_KUBE_PROXY_TABLES):
        if _table_exists(family, name):
            _run("nft", "delete", "table", family, name)
    for result in _CNI_RESULTS.glob(f"{CNI_NETWORK}-*"):
        for note in _CNI_RESULTS.glob(f"*{result.name.split('-')[1]}*"):  # the loopback plugin's note of the same pod
            note.unlink(missing_ok=True)
    _run("ip", "link", "del", BRIDGE)  # last: while it is there, the next `up` knows that something is left


def _taken() -> str:
    """Return a route of this machine into our ranges; an empty string if there is none."""
    ours = [ipaddress.ip_network(text) for text in (POD_RANGE, SERVICE_RANGE)]
    for route in json.loads(_run("ip", "-json", "-4", "route")):
        if route["dst"] != "default" and any(
            ipaddress.ip_network(route["dst"]).overlaps(ours_range) for ours_range in ours
        ):
            return f"{route['dst']} on {route.get('dev', 'another interface')}"
    return ""


def _table_exists(family: str, name: str) -> bool:
    done = subprocess.run(["nft", "list", "table", family, name], env=_environment(), capture_output=True, check=False)
    return done.returncode == 0


def _environment() -> dict[str, str]:
    """Return the environment in which `nft` and `ip` are found. The PATH of a user who became root with `su` has no sbin."""
    return os.environ | {"PATH": machine.PATH}


def _run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    if "File exists" in done.stderr and BRIDGE in command:
        raise ClusterError(f"another node cluster is starting on this machine ({BRIDGE} exists)")
    raise MachineError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
