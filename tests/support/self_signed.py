"""Self-signed certificates for servers on loopback, made with openssl."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_certificate(certificate: Path, key: Path, *, common_name: str, alternative_names: str) -> None:
    """Write a certificate that is its own authority, and its key. alternative_names: as openssl reads them, `DNS:localhost,IP:127.0.0.1`."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={common_name}", "-addext", f"subjectAltName={alternative_names}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *files], check=True, capture_output=True)
