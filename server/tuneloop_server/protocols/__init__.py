"""What clients send and get: one protocol a file. `PROTOCOLS` is the table; the application mounts the routes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_server.protocols.hf import HF
from tuneloop_server.protocols.oip import OIP
from tuneloop_server.protocols.openai import OPENAI

if TYPE_CHECKING:
    from tuneloop_server.protocols.protocol import WireProtocol

PROTOCOLS: dict[str, WireProtocol] = {protocol.name: protocol for protocol in (HF, OIP, OPENAI)}
