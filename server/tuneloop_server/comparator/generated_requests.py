"""How a request for generated text is asked of both revisions, so that what they say can be compared. Pure.

- Whole: what a client streams is asked again without a stream.
- With one seed: a request that draws tokens and names no seed gets one, the same for both. Equal models then give equal answers, and what a
  client would get is what is compared, which a greedy answer in its place is not.
- With its end: Hugging Face's answers tell it with `details` alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_server.prediction_paths import CHAT_PATH, COMPLETION_PATH, HF_PATHS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_server.answers.answer_format import Generating

PATHS = frozenset({*HF_PATHS, CHAT_PATH, COMPLETION_PATH})
GOLDEN_HF_PATH = HF_PATHS[-1]
_STREAM = ("stream", "stream_options")


def compared_body(target: bytes, body: bytes, generating: Generating, *, seed: int) -> bytes:
    """Return the body that both revisions are asked. target: path and query. A body that cannot be read is left as it is: both refuse it."""
    try:
        document = json.loads(body)
        if isinstance(document, dict):
            return json.dumps(_compared(target, document, generating, seed), ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # half of a surrogate pair cannot be encoded, and is a ValueError
        pass
    return body


def golden_request(row: Mapping[str, object], generating: Generating) -> tuple[bytes, bytes]:
    """Return target and body of a golden row: a request as a client sends it, answered greedily. Raises UnicodeEncodeError for half of a surrogate pair."""
    if "messages" in row:
        asked = {name: row[name] for name in ("messages", "max_tokens", "stop") if name in row}
        return CHAT_PATH.encode(), json.dumps({**asked, "temperature": 0}, ensure_ascii=False).encode()
    parameters, fixed = row.get("parameters"), {**generating.parameters, **generating.greedy}
    given: dict[str, object] = parameters if isinstance(parameters, dict) else {}
    nested = given.get(generating.nested) if generating.nested else None
    if generating.nested and isinstance(nested, dict):  # a server takes no parameter beside it
        fixed = {generating.nested: {**nested, **fixed}}
    asked = {"inputs": row["inputs"], "parameters": {**given, **fixed}}
    return GOLDEN_HF_PATH.encode(), json.dumps(asked, ensure_ascii=False).encode()


def _compared(target: bytes, document: dict[str, object], generating: Generating, seed: int) -> dict[str, object]:
    whole = {name: value for name, value in document.items() if name not in _STREAM}
    if target.partition(b"?")[0].decode() not in HF_PATHS:
        return _seeded(whole, generating, seed)
    parameters = whole.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        return whole
    return {**whole, "parameters": _seeded({**(parameters or {}), **generating.parameters}, generating, seed)}


def _seeded(fields: dict[str, object], generating: Generating, seed: int) -> dict[str, object]:
    return {**fields, "seed": seed} if generating.is_drawn and fields.get("seed") is None else fields
