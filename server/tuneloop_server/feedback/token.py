"""Tokens: what a prediction was, signed. Pure.

A token is base64url without padding of 28 bytes and the first 16 bytes of their HMAC-SHA256; 59 characters. Where texts are kept there are 8 more bytes
(version 2, 70 characters): a keyed digest of the text, by which a server knows the text again and nobody else learns of it. All servers of a deployment take each other's
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

VERSION, VERSION_WITH_INPUT = 1, 2
NONCE_BYTES = 8
INPUT_BYTES = 8
BINS = 10
"""Confidence is told as one of ten equal bins."""
_LAYOUT = struct.Struct(">BI8s8sH4sB")
"""Version, time, nonce, revision, class, digest of its label, bin of confidence."""
_MAC_BYTES = 16
TOKEN_CHARACTERS = {
    VERSION: -(-(_LAYOUT.size + _MAC_BYTES) * 4 // 3),
    VERSION_WITH_INPUT: -(-(_LAYOUT.size + INPUT_BYTES + _MAC_BYTES) * 4 // 3),
}
_REVISION_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a token says: of the text and of the label only digests."""

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
    input_digest: bytes | None = None
    """`Signer.input_digest` of the text, 8 bytes; None where texts are not kept."""


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
        inputs = f"tuneloop-feedback-input\0{namespace}\0{deployment}\0".encode()
        self._inputs = [hmac.new(key, inputs, hashlib.sha256) for key in keys]

    def input_digest(self, text: str, *, nonce: bytes) -> bytes:
        """Return the digest of a text, which is another one for each token: equal texts cannot be told by it."""
        return _input_digest(self._inputs[0], text, nonce=nonce)

    def is_input(self, text: str, predicted: Predicted) -> bool:
        """Return whether a token was given for this text, with any of the keys."""
        digest = predicted.input_digest
        return digest is not None and any(
            hmac.compare_digest(_input_digest(known, text, nonce=predicted.nonce), digest) for known in self._inputs
        )

    def token(self, predicted: Predicted) -> str:
        """Return the token of a prediction."""
        content = _LAYOUT.pack(
            VERSION if predicted.input_digest is None else VERSION_WITH_INPUT,
            predicted.at,
            predicted.nonce,
            predicted.revision.encode("ascii"),
            predicted.class_id,
            predicted.label,
            predicted.confidence_bin,
        )
        content += predicted.input_digest or b""
        signed = content + _mac(self._macs[0], content)
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode("ascii")

    def read(self, token: str) -> Predicted:
        """Return what a token says. Raises RefusedFeedback: damaged, or foreign."""
        signed = _decoded(token)
        content, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        # the version is inside the signature: an older server cannot be made to read a newer layout
        if content[0] not in TOKEN_CHARACTERS:
            message = f"token: has version {content[0]}, and this server knows versions {VERSION} and {VERSION_WITH_INPUT}; send it again once all servers are of one release"
            raise RefusedFeedback(message, reason="damaged")
        if not any(hmac.compare_digest(_mac(known, content), mac) for known in self._macs):
            message = "token: was signed with another key: it is of another deployment, was changed, or its key was taken out of the Secret"
            raise RefusedFeedback(message, reason="foreign")
        _, at, nonce, revision, class_id, label, confidence_bin = _LAYOUT.unpack_from(content)
        return Predicted(
            revision=revision.rstrip(b"\0").decode("ascii"),
            at=at,
            nonce=nonce,
            class_id=class_id,
            label=label,
            confidence_bin=confidence_bin,
            input_digest=content[_LAYOUT.size :] or None,
        )


def _input_digest(keyed: hmac.HMAC, text: str, *, nonce: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(nonce + text.encode(errors="surrogatepass"))
    return mac.digest()[:INPUT_BYTES]


def _mac(keyed: hmac.HMAC, content: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(content)
    return mac.digest()[:_MAC_BYTES]


def _decoded(token: str) -> bytes:
    """Return the bytes of a token. Raises RefusedFeedback. One token has one spelling: what decodes to the same bytes is refused."""
    allowed = " or ".join(map(str, TOKEN_CHARACTERS.values()))
    message = f"token: is damaged: {allowed} characters of A-Z, a-z, 0-9, - and _ are expected, as x-tuneloop-feedback had them"
    if len(token) not in TOKEN_CHARACTERS.values() or not token.isascii():
        raise RefusedFeedback(message, reason="damaged")
    try:
        signed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise RefusedFeedback(message, reason="damaged") from None
    is_of_its_version = TOKEN_CHARACTERS.get(signed[0], len(token)) == len(token)
    if not is_of_its_version or base64.urlsafe_b64encode(signed).rstrip(b"=").decode("ascii") != token:
        raise RefusedFeedback(message, reason="damaged")
    return signed
