"""The generated certificate is one that a pod's TLS client accepts for the address that it is given."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from urllib.parse import urlsplit

import pytest
from helm_chart import environment_of, of_kind, operator_pod


@pytest.fixture(scope="module")
def made(helm):
    return helm.rendered()


def test_a_strict_client_accepts_the_generated_certificate(made, tmp_path):
    with _serving(made, tmp_path) as address, _connected(address, host=_host(made), folder=tmp_path) as connection:
        assert connection.version() == "TLSv1.3"


def test_the_certificate_is_for_no_other_name(made, tmp_path):
    with _serving(made, tmp_path) as address, pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        _connected(address, host="tuneloop-progress.other.svc", folder=tmp_path)


def test_the_key_of_the_authority_is_not_kept(made):
    (secret,) = of_kind(made, "Secret")
    assert set(secret["data"]) == {"tls.crt", "tls.key", "ca.crt"}
    authority = base64.b64decode(secret["data"]["ca.crt"])
    assert authority.count(b"BEGIN CERTIFICATE") == 1
    assert b"PRIVATE" not in authority


def test_cert_manager_is_asked_for_the_same_names_by_an_authority_that_lasts(helm, made):
    objects = helm.rendered({"progress": {"tls": {"source": "certManager"}}})
    by_name = {found["metadata"]["name"]: found["spec"] for found in of_kind(objects, "Certificate")}
    server, authority = by_name["tuneloop-progress-tls"], by_name["tuneloop-progress-ca"]
    assert _host(made) in server["dnsNames"]
    assert server["issuerRef"]["name"] == "tuneloop-progress-ca"
    assert authority["privateKey"]["rotationPolicy"] == "Never"
    assert int(authority["duration"].removesuffix("h")) >= 10 * 365 * 24


def _host(objects):
    return urlsplit(environment_of(operator_pod(objects))["TUNELOOP_PROGRESS_URL"]).hostname


class _serving:  # noqa: N801  (used as a context manager)
    """A TLS server with the certificate of the rendered Secret, for one connection."""

    def __init__(self, objects, folder):
        (secret,) = of_kind(objects, "Secret")
        for name, data in secret["data"].items():
            (folder / name).write_bytes(base64.b64decode(data))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "tls.crt", folder / "tls.key")

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        return self._listener.getsockname()

    def __exit__(self, *_):
        self._thread.join(timeout=10)
        self._listener.close()

    def _answer(self):
        connection, _ = self._listener.accept()
        try:
            with self._context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)
        except OSError:
            return  # the client refused the certificate


def _connected(address, *, host, folder):
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context.wrap_socket(socket.create_connection(address, timeout=10), server_hostname=host)
