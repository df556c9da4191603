"""What to do about a hub that was not reached: its certificate, the bundle of authorities, the proxy, or a model without the hub."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUNDLE = "SSL_CERT_FILE"
_CHART = 'trustedCA of the chart (docs/install.md, "Proxies and your own authorities")'
_WITHOUT_HUB = "put the model's folder on a claim and use pvc://CLAIM/PATH"


def advice(error: BaseException, *, endpoint: str) -> str:
    """Return what helps against an error of the hub's client, which reads its authorities and its proxy from the environment.

    endpoint: the hub's address.
    """
    bundle, host = os.environ.get(_BUNDLE), urlsplit(endpoint).hostname or endpoint
    if bundle and not _holds_certificates(bundle):
        return f"{_BUNDLE}={bundle} is no file of certificates as PEM text: see {_CHART}, or unset it"
    if any(isinstance(found, ssl.SSLCertVerificationError) for found in _with_causes(error)):
        trusted = f"those of {_BUNDLE}={bundle}" if bundle else f"those of this machine, for {_BUNDLE} is not set"
        return f"the certificate is of an authority that is not trusted ({trusted}): add it to the bundle of {_CHART}"
    if proxy := _proxy(endpoint, host):
        return f"the way leads through the proxy {proxy}: let it through to {host} and to the hosts of its files (*.hf.co), or {_WITHOUT_HUB}"
    return f"without access to {host}, {_WITHOUT_HUB}"


def _holds_certificates(path: str) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # no file, or an error of ssl
        return False
    return True


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _proxy(endpoint: str, host: str) -> str | None:
    """Return host and port of the proxy, without its user and password; None where none is asked."""
    proxies = getproxies()
    proxy = proxies.get(urlsplit(endpoint).scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return urlsplit(proxy if "://" in proxy else f"//{proxy}").netloc.rpartition("@")[2]
