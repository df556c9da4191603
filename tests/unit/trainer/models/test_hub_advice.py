"""The advice about a hub that was not reached names what stood in the way: the authorities, the proxy, or nothing of the kind."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tuneloop_trainer.models.hub_advice import advice

HUB = "https://huggingface.co"
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBkzCCATmgAwIBAgIUCuRWY6zdk9CwWDXN56wppZB1x9wwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMQ29tcGFueSByb290MB4XDTI2MTEyOTE5MDkxNFoXDTI2MTIw
MTE5MDkxNFowFzEVMBMGA1UEAwwMQ29tcGFueSByb290MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEWLWYeU7iHP5xSgxAHLXhLBnlydMqc8aTsKUhGGOirgvuxCPV
l1Pnf0eNKntKJNIvtzsaAihqRBvZU1eW3z+vJqNjMGEwHQYDVR0OBBYEFFkb5Ym/
B94sud1MBBncOWehO71oMB8GA1UdIwQYMBaAFFkb5Ym/B94sud1MBBncOWehO71o
MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMCA0gA
MEUCIQDrFdvQ5ee8TsHcNy2mU2OUaVW00G42D9odomIeasJKFgIgQJwd2morKN2z
B0vyb7vu3sCdV8UTX31D7sKXTCad6U8=
-----END CERTIFICATE-----
"""
CLAIM = "put the model's folder on a claim and use pvc://CLAIM/PATH"
NAMES = ("SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")  # fmt: skip


@pytest.fixture(autouse=True)
def _no_variable_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def untrusted() -> Exception:
    """As the client raises it: its own error, of an error of ssl."""
    error = ConnectionError("cannot connect")
    error.__cause__ = ssl.SSLCertVerificationError("certificate verify failed")
    return error


def test_without_a_proxy_a_claim_is_advised() -> None:
    assert advice(ConnectionError(), endpoint=HUB) == f"without access to huggingface.co, {CLAIM}"


def test_an_authority_that_is_not_trusted_is_named_with_what_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hint = advice(untrusted(), endpoint=HUB)
    assert hint.startswith(
        "the certificate is of an authority that is not trusted (those of this machine, for SSL_CERT_FILE is not set): add it"
    )
    bundle = tmp_path / "ca.crt"
    bundle.write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert f"(those of SSL_CERT_FILE={bundle})" in advice(untrusted(), endpoint=HUB)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_without_certificates_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    bundle = tmp_path / "ca.crt"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    hint = advice(FileNotFoundError(2, "No such file or directory"), endpoint=HUB)
    assert hint.startswith(f"SSL_CERT_FILE={bundle} is no file of certificates as PEM text: see trustedCA of the chart")


@pytest.mark.parametrize("proxy", ["http://proxy.example.com:3128", "http://user:canary@proxy.example.com:3128", "proxy.example.com:3128"])  # fmt: skip
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, name: str, proxy: str) -> None:
    monkeypatch.setenv(name, proxy)
    hint = advice(ConnectionError(), endpoint=HUB)
    assert hint.startswith("the way leads through the proxy proxy.example.com:3128: let it through to huggingface.co ")
    assert hint.endswith(CLAIM)


@pytest.mark.parametrize(("name", "none"), [("HTTPS_PROXY", "huggingface.co"), ("HTTP_PROXY", "")])
def test_a_proxy_that_is_not_asked_is_not_named(monkeypatch: pytest.MonkeyPatch, name: str, none: str) -> None:
    monkeypatch.setenv(name, "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", none)
    assert "proxy" not in advice(ConnectionError(), endpoint=HUB)


def test_a_mirror_is_named_by_its_own_host() -> None:
    assert advice(ConnectionError(), endpoint="http://hub.corp:8080").startswith("without access to hub.corp, ")
