"""Clients of a served text classifier: sound ones that label what they asked, one that garbles its texts, and one that sends wrong labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from tiny_models import sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

_AT_ONCE = 32
"""As many texts of a request as get tokens."""
SOUND = [text for text, _ in sentences(300)]
GARBLED = [f"{text} café".encode().decode("latin-1") for text in SOUND[:150]]


class Clients:
    """All of one deployment."""

    def __init__(self, url: str) -> None:
        """url: of a server, or of a router."""
        self._http = httpx.Client(base_url=url, timeout=60.0)

    def ask(self, texts: Sequence[str]) -> list[str]:
        """Ask for predictions; return their tokens."""
        tokens: list[str] = []
        for begin in range(0, len(texts), _AT_ONCE):
            answer = self._http.post("/predict", json={"inputs": list(texts[begin : begin + _AT_ONCE])})
            assert answer.status_code == 200, answer.text
            tokens += answer.headers.get("x-tuneloop-feedback", "").split(",")
        return tokens

    def label(self, tokens: Sequence[str], *, is_correct: bool, client: str) -> None:
        """Send labels for predictions."""
        body = [{"token": token, "correct": is_correct} for token in tokens]
        answer = self._http.post("/v1/feedback", json=body, headers={"x-tuneloop-client": client})
        assert answer.json() == {"counted": len(tokens), "repeated": 0}, answer.text

    def close(self) -> None:
        self._http.close()
