"""Makes the cluster's certificates and kubeconfigs with openssl. They are valid for one cluster on this machine."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVICE_RANGE = "10.96.0.0/16"
_SERVER = (
    "extendedKeyUsage=serverAuth\n"
    "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
    "DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.96.0.1,IP:{address}\n"
)
_CLIENTS = {"admin": "/O=system:masters/CN=admin", "kube-controller-manager": "/CN=system:kube-controller-manager"}
_CLIENT = "extendedKeyUsage=clientAuth\n"
FRONT_PROXY = "front-proxy-client"
"""The name by which the API server vouches for a user, where it passes a request on to another API server."""


def make(folder: Path, *, server_url: str, more_clients: Mapping[str, str] | None = None) -> None:
    """Write an authority, a server certificate, the service-account key pair, and for each client NAME.crt, NAME.key, NAME.kubeconfig.

    The front proxy has an authority of its own, as with kubeadm: whoever it vouches for is believed.
    The clients are admin and kube-controller-manager; `more_clients` maps the name of a further client to the subject of its certificate.
    Raises ClusterError if openssl is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _authority(folder, "ca")
    _authority(folder, "front-proxy-ca")
    _certificate(folder, FRONT_PROXY, subject=f"/CN={FRONT_PROXY}", extensions=_CLIENT, authority="front-proxy-ca")
    _key(folder, "service-account")
    _openssl(folder, "ec", "-in", "service-account.key", "-pubout", "-out", "service-account.pub")
    _certificate(
        folder,
        "apiserver",
        subject="/CN=kube-apiserver",
        extensions=_SERVER.format(address=urlsplit(server_url).hostname),
    )
    for name, subject in (_CLIENTS | (more_clients or {})).items():
        _certificate(folder, name, subject=subject, extensions=_CLIENT)
        path = folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(_kubeconfig(folder, name, server_url=server_url), indent=1))
        path.chmod(0o600)


def _kubeconfig(folder: Path, name: str, *, server_url: str) -> dict[str, object]:
    def embedded(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "clusters": [
            {"name": "dev", "cluster": {"server": server_url, "certificate-authority-data": embedded("ca.crt")}}
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": embedded(f"{name}.crt"),
                    "client-key-data": embedded(f"{name}.key"),
                },
            }
        ],
        "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": name}}],
    }


def _authority(folder: Path, name: str) -> None:
    _key(folder, name)
    subject = ("-subj", f"/CN=devcluster-{name}")
    usage = (
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
    )
    made = ("-x509", "-new", "-key", f"{name}.key", "-sha256", "-days", "3650", "-out", f"{name}.crt")
    _openssl(folder, "req", *made, *subject, *usage)


def _certificate(folder: Path, name: str, *, subject: str, extensions: str, authority: str = "ca") -> None:
    _key(folder, name)
    _openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
    (folder / f"{name}.ext").write_text(extensions)
    signed = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial", "-sha256", "-days", "3650")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed, "-extfile", f"{name}.ext", "-out", f"{name}.crt")


def _key(folder: Path, name: str) -> None:
    _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")


def _openssl(folder: Path, *arguments: str) -> None:
    try:
        done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ClusterError("openssl, which makes the certificates, is not installed") from None
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
