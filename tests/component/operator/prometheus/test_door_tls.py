"""Whom the door trusts."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import self_signed
from prometheus_servers import (
    QUERY,
    Servers,
    another_protocol,
    ask,
    good,
    refuses,
    with_servers,
)

from tuneloop_operator.prometheus.answer import Number, Unanswered
from tuneloop_operator.prometheus.door import Place, PrometheusDoor

if TYPE_CHECKING:
    pass


def certificate(folder: Path, name: str, *, names: str = "IP:127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """Return a certificate that is its own authority, and the context of its server."""
    file, key = folder / f"{name}.crt", folder / f"{name}.key"
    self_signed.write_certificate(file, key, common_name=name, alternative_names=names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, key)
    return file, context


def test_a_certificate_is_trusted_by_the_file_of_authorities_alone(tmp_path):
    async def life(servers: Servers) -> None:
        trusted, tls = certificate(tmp_path, "own")
        (tmp_path / "token").write_text("a-secret")
        address = await servers.answering(good(), tls)
        token = {"token_file": tmp_path / "token"}
        refuses(await ask(address, **token), address, "its certificate is not trusted (self-signed certificate)")
        assert not servers.asked.requests
        assert isinstance(await ask(address, ca_file=trusted, **token), Number)
        assert servers.asked.requests[0][2]["Authorization"] == "Bearer a-secret"

    with_servers(life)


def test_a_certificate_is_for_the_host_that_was_asked(tmp_path):
    async def life(servers: Servers) -> None:
        trusted, tls = certificate(tmp_path, "own", names="IP:127.0.0.2")
        address = await servers.answering(good(), tls)
        answer = await ask(address, ca_file=trusted)
        assert isinstance(answer, Unanswered)
        assert "its certificate is not trusted (IP address mismatch" in answer.reason

    with_servers(life)


def test_authorities_that_change_are_read_again(tmp_path):
    async def life(servers: Servers) -> None:
        authorities = tmp_path / "ca.crt"
        authorities.write_bytes(certificate(tmp_path, "old")[0].read_bytes())
        new, tls = certificate(tmp_path, "new")
        address = await servers.answering(good(), tls)
        async with PrometheusDoor(Place(address=address, ca_file=authorities)) as door:
            assert isinstance(await door.ask(QUERY), Unanswered)
            authorities.write_bytes(new.read_bytes() + b"\n")
            assert isinstance(await door.ask(QUERY), Number)

    with_servers(life)


@pytest.mark.parametrize(
    ("content", "cause"), [(None, "No such file or directory"), (b"no PEM", "NO_CERTIFICATE_OR_CRL_FOUND")]
)
def test_authorities_that_cannot_be_read_are_named(tmp_path, content, cause):
    async def life(servers: Servers) -> None:
        _, tls = certificate(tmp_path, "own")
        address = await servers.answering(good(), tls)
        authorities = tmp_path / "ca.crt"
        if content is not None:
            authorities.write_bytes(content)
        answer = await ask(address, ca_file=authorities)
        refuses(answer, address, f"the file of authorities {authorities} cannot be used ({cause})")

    with_servers(life)


def test_tls_to_a_port_without_it_is_an_error():
    async def life(servers: Servers) -> None:
        address = (await servers.sending(another_protocol)).replace("http:", "https:")
        answer = await ask(address)
        assert isinstance(answer, Unanswered)
        assert answer.reason.startswith(f"Prometheus at {address}: no connection (")

    with_servers(life)
