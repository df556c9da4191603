"""Certificates for servers on loopback, made with openssl: self-signed, or of an authority of our own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def write_certificate(certificate: Path, key: Path, *, common_name: str, alternative_names: str) -> None:
    """Write a certificate that is its own authority, and its key. alternative_names: as openssl reads them, `DNS:localhost,IP:127.0.0.1`."""
    names = ["-subj", f"/CN={common_name}", "-addext", f"subjectAltName={alternative_names}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *_KEY, *names, *files], check=True, capture_output=True)


def write_signed_certificate(folder: Path, *, host: str) -> None:
    """Write `ca.crt` of an authority, and `host.crt` with `host.key` of a host, which the authority has signed. Clients of rustls take no self-signed one."""
    write_certificate(folder / "ca.crt", folder / "ca.key", common_name="company", alternative_names="DNS:ca.invalid")
    signed = [
        "-CA",
        str(folder / "ca.crt"),
        "-CAkey",
        str(folder / "ca.key"),
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    names = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    files = ["-keyout", str(folder / "host.key"), "-out", str(folder / "host.crt")]
    subprocess.run(["openssl", "req", "-x509", *_KEY, *signed, *names, *files], check=True, capture_output=True)
