"""The progress server's certificate: new connections get the newest good one."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from typing import TYPE_CHECKING

import pytest
from operator_process import make_certificate

from tuneloop_operator.progress.tls import CertificateError, ServerCertificate

if TYPE_CHECKING:
    from pathlib import Path


async def presented(certificate: ServerCertificate) -> bytes:
    """Return the certificate that a client gets which trusts the current authority."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cadata=certificate.authority)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    server.close()
    return shown


def test_renewed_files_are_used_for_new_connections(tmp_path: Path) -> None:
    certificate = ServerCertificate(make_certificate(tmp_path))
    make_certificate(tmp_path)
    assert certificate.refresh()
    renewed = ssl.PEM_cert_to_DER_cert((tmp_path / "tls.crt").read_text())
    assert asyncio.run(presented(certificate)) == renewed


def test_unchanged_files_are_no_news(tmp_path: Path) -> None:
    assert not ServerCertificate(make_certificate(tmp_path)).refresh()


def half_renewed(folder: Path) -> None:
    make_certificate(folder / "other")
    shutil.copy(folder / "other" / "tls.crt", folder / "tls.crt")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(half_renewed, id="a new certificate with the old key"),
        pytest.param(lambda folder: (folder / "tls.key").write_text("no key"), id="no key"),
        pytest.param(lambda folder: (folder / "tls.crt").unlink(), id="no file"),
    ],
)
def test_files_that_do_not_fit_leave_the_old_ones_in_use(tmp_path: Path, spoil: object) -> None:
    certificate = ServerCertificate(make_certificate(tmp_path))
    before = asyncio.run(presented(certificate))
    spoil(tmp_path)
    with pytest.raises(CertificateError):
        certificate.refresh()
    assert asyncio.run(presented(certificate)) == before


def test_a_renewal_is_noticed_while_the_operator_runs(tmp_path: Path) -> None:
    certificate = ServerCertificate(make_certificate(tmp_path))
    make_certificate(tmp_path)

    async def wait() -> None:
        noticed = asyncio.Event()
        task = asyncio.create_task(certificate.keep_fresh(noticed.set, check_seconds=0.01))
        await asyncio.wait_for(noticed.wait(), 5)
        task.cancel()

    asyncio.run(wait())


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"tls\.crt: No such file"):
        ServerCertificate(tmp_path)
