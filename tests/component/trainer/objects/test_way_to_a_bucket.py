"""In a company's network a bucket is reached through a proxy, with a certificate of the company's own authority."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from connect_proxy import ConnectProxy, running_proxy
from object_server import running_object_server
from self_signed import write_signed_certificate

from tuneloop_trainer.errors import DataError
from tuneloop_trainer.objects.snapshot import snapshot_of_objects


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectProxy]:
    """The proxy that leads to a storage, whose certificate is of the authority `ca.crt`."""
    name = "storage.example.com"
    write_signed_certificate(tmp_path, host=name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "host.crt", tmp_path / "host.key")
    with running_object_server() as server:
        server.begin(reviews={"a.csv": b"text,label\n"})
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        with running_proxy(server.server_port) as proxy:
            for variable, value in (
                server.variables | {"AWS_ENDPOINT_URL": f"https://{name}", "HTTPS_PROXY": proxy.url}
            ).items():
                monkeypatch.setenv(variable, value)
            for variable in ("NO_PROXY", "no_proxy", "https_proxy"):
                monkeypatch.delenv(variable, raising=False)
            yield proxy


def read(folder: Path) -> bytes:
    return snapshot_of_objects(
        "s3://reviews/a.csv", field="data.train[0]", snapshots=folder / "sources"
    ).path.read_bytes()


def test_rows_come_through_the_proxy_if_the_authority_is_trusted(proxy, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    assert read(tmp_path) == b"text,label\n"
    assert set(proxy.asked) == {"storage.example.com:443"}


@pytest.mark.parametrize("bundle", ["", "/none/ca.crt"], ids=["no bundle", "a bundle that is not there"])
def test_an_authority_that_is_not_trusted_is_named(proxy, tmp_path, monkeypatch, bundle):
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    if not bundle:
        monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DataError, match=r"its certificate is not trusted \(UnknownIssuer\)") as refused:
        read(tmp_path)
    assert "trustedCA" in refused.value.hint
