"""Keys that an administrator gives in a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tuneloop_operator.progress.key_reviewer import keys_of_file
from tuneloop_operator.progress.signed_tokens import UnreadableKeys

ISSUER = "https://kubernetes.default.svc"


def test_keys_come_from_a_file_and_a_new_file_is_read(tmp_path: Path) -> None:
    path, read = tmp_path / "jwks.json", keys_of_file(tmp_path / "jwks.json", issuer=ISSUER)
    for name in ("old", "new"):
        public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
        key: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
        path.write_text(json.dumps({"keys": [key | {"kid": name, "alg": "RS256"}]}))
        found = asyncio.run(read())
        assert (found.issuer, set(found.keys)) == (ISSUER, {name})


@pytest.mark.parametrize("text", [None, "", "{", "[" * 100_000, '"keys"', '{"keys": []}'])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "jwks.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UnreadableKeys):
        asyncio.run(keys_of_file(path, issuer=ISSUER)())
