"""The canonical form of JSON data, and the digest of it: equal data have equal bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(data: Any) -> bytes:
    """Return JSON data with sorted keys, without spaces, in UTF-8."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(data: Any) -> str:
    """Return the SHA-256 of the canonical form in hex."""
    return hashlib.sha256(canonical(data)).hexdigest()
