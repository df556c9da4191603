"""The progress server's certificate: a folder with tls.crt, tls.key and ca.crt. The files are renewed while the operator runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import NoReturn

_LOG = logging.getLogger(__name__)
_CHECK_SECONDS = 10.0


class CertificateError(Exception):
    """The files are missing or do not belong together. The message is one line."""


class ServerCertificate:
    """The newest files that fit together. New connections use the newest pair; open connections keep theirs."""

    def __init__(self, directory: Path) -> None:
        """Raises CertificateError."""
        self._directory = directory
        self._files = self._read()
        self.context = self._checked()

    @property
    def authority(self) -> str:
        """PEM text of the authority with which clients check the certificate."""
        return self._files["ca.crt"].decode()

    def refresh(self) -> bool:
        """Use the files if they changed; return whether they did. Raises CertificateError: then the old files stay in use."""
        files = self._read()
        if files == self._files:
            return False
        self._checked()  # a pair that does not fit would break the context in use
        self._load(self.context)
        self._files = files
        return True

    async def keep_fresh(self, on_change: Callable[[], None], *, check_seconds: float = _CHECK_SECONDS) -> NoReturn:
        """Check for new files for as long as the task lives. Their content is compared, because a mounted Secret is swapped by links."""
        problem = ""
        while True:
            await asyncio.sleep(check_seconds)
            try:
                if self.refresh():
                    _LOG.info("the certificate in %s was renewed", self._directory)
                    on_change()
                problem = ""
            except CertificateError as error:
                if str(error) != problem:
                    _LOG.warning("%s; the old certificate stays in use", error)
                problem = str(error)

    def _read(self) -> dict[str, bytes]:
        try:
            return {name: (self._directory / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt")}
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from error

    def _checked(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._directory / "tls.crt", self._directory / "tls.key")
            ssl.create_default_context(cafile=str(self._directory / "ca.crt"))
        except (ssl.SSLError, OSError) as error:
            raise CertificateError(f"{self._directory}: no certificate and key that fit together: {error}") from error
