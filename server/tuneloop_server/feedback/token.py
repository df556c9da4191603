"""Tokens: what a prediction was, signed. Pure.

A token is base64url without padding of 28 bytes and the first 16 bytes of their HMAC-SHA256; 59 characters. All servers of a deployment take each other's
tokens: a router sends feedback to any of them. The namespace and the name of the deployment are signed with it, so that a key of two deployments makes no
token of one a token of the other.
Sources: RFC 2104 (HMAC; section 5: truncation to half of the output), RFC 4648 section 5 (base64url).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_server.feedback.errors import RefusedFeedback

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
NONCE_BYTES = 8
BINS = 10
"""Confidence is told as one of ten equal bins."""
_LAYOUT = struct.Struct(">BI8s8sH4sB")
"""Version, time, nonce, revision, class, digest of its label, bin of confidence."""
_MAC_BYTES = 16
_BYTES = _LAYOUT.size + _MAC_BYTES
TOKEN_CHARACTERS = -(-_BYTES * 4 // 3)
_REVISION_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a token says: nothing of the text, and of the label only a digest."""

    revision: str
    """That predicted; at most 8 characters of ASCII."""
    at: int
    """When, in seconds since 1970, by the clock of the server that predicted."""
    nonce: bytes
    """8 bytes that make the token unlike all others."""
    class_id: int
    """Of the label that was predicted, in the order of the model's labels."""
    label: bytes
    """`label_digest` of its name: another revision may have other labels, or another order."""
    confidence_bin: int
    """0 to 9: the calibrated confidence was in [bin / 10, (bin + 1) / 10)."""


def label_digest(name: str) -> bytes:
    """Return 4 bytes that stand for the name of a label."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:4]


def bin_of(confidence: float) -> int:
    """Return the bin of a confidence in [0, 1]."""
    return min(int(confidence * BINS), BINS - 1)


class Signer:
    """Signs with the first key, and takes what any of the keys has signed."""

    def __init__(self, keys: Sequence[bytes], *, namespace: str, deployment: str) -> None:
        context = f"tuneloop-feedback\0{namespace}\0{deployment}\0".encode()
        self._macs = [hmac.new(key, context, hashlib.sha256) for key in keys]

    def token(self, predicted: Predicted) -> str:
        """Return the token of a prediction."""
        content = _LAYOUT.pack(
            VERSION,
            predicted.at,
            predicted.nonce,
            predicted.revision.encode("ascii"),
            predicted.class_id,
            predicted.label,
            predicted.confidence_bin,
        )
        signed = content + _mac(self._macs[0], content)
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode("ascii")

    def read(self, token: str) -> Predicted:
        """Return what a token says. Raises RefusedFeedback: damaged, or foreign."""
        signed = _decoded(token)
        content, mac = signed[: _LAYOUT.size], signed[_LAYOUT.size :]
        # the version is inside the signature: an older server cannot be made to read a newer layout
        if content[0] != VERSION:
            message = f"token: has version {content[0]}, and this server knows version {VERSION}; send it again once all servers are of one release"
            raise RefusedFeedback(message, reason="damaged")
        if not any(hmac.compare_digest(_mac(known, content), mac) for known in self._macs):
            message = "token: was signed with another key: it is of another deployment, was changed, or its key was taken out of the Secret"
            raise RefusedFeedback(message, reason="foreign")
        _, at, nonce, revision, class_id, label, confidence_bin = _LAYOUT.unpack(content)
        return Predicted(
            revision=revision.rstrip(b"\0").decode("ascii"),
            at=at,
            nonce=nonce,
            class_id=class_id,
            label=label,
            confidence_bin=confidence_bin,
        )


def _mac(keyed: hmac.HMAC, content: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(content)
    return mac.digest()[:_MAC_BYTES]


def _decoded(token: str) -> bytes:
    """Return the bytes of a token. Raises RefusedFeedback. One token has one spelling: what decodes to the same bytes is refused."""
    message = f"token: is damaged: {TOKEN_CHARACTERS} characters of A-Z, a-z, 0-9, - and _ are expected, as x-tuneloop-feedback had them"
    if len(token) != TOKEN_CHARACTERS or not token.isascii():
        raise RefusedFeedback(message, reason="damaged")
    try:
        signed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise RefusedFeedback(message, reason="damaged") from None
    if base64.urlsafe_b64encode(signed).rstrip(b"=").decode("ascii") != token:
        raise RefusedFeedback(message, reason="damaged")
    return signed
