"""The objects that `/v1/chat/completions` and `/v1/completions` answer with, whole or in chunks. Pure: identity and time are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneloop_server.generation.answer import FinishReason, Generated


def usage(*, prompt: int, completion: int) -> dict[str, int]:
    """Return how many tokens a request took. completion: the token of the answer's end included."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def finish_reason(finish: FinishReason | None) -> str | None:
    """Return OpenAI's word for why an answer ended; None: it goes on."""
    return None if finish is None else "length" if finish == "length" else "stop"


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The fields that all objects of one answer share."""

    id: str
    created: int
    """Seconds since 1970."""
    model: str
    revision: str
    is_chat: bool
    include_usage: bool = False
    """Whether a stream's last chunk has the usage; the others then have null."""

    def whole(self, generated: Generated) -> dict[str, Any]:
        """Return the object of a whole answer."""
        message = {"role": "assistant", "content": generated.text, "refusal": None}
        content: dict[str, Any] = {"message": message} if self.is_chat else {"text": generated.text}
        return {
            **self._head("chat.completion" if self.is_chat else "text_completion"),
            "choices": [_choice(content, generated.finish)],
            "usage": usage(prompt=generated.prompt_tokens, completion=len(generated.pieces)),
        }

    def beginning(self) -> dict[str, Any]:
        """Return the first chunk of a chat: whose turn it is."""
        return self._chunk([_choice({"delta": {"role": "assistant", "content": "", "refusal": None}}, None)])

    def part(self, text: str, finish: FinishReason | None) -> dict[str, Any]:
        """Return a chunk with more text; finish: why it is the last one with text, or None."""
        content: dict[str, Any] = {"delta": {"content": text} if text else {}} if self.is_chat else {"text": text}
        return self._chunk([_choice(content, finish)])

    def end(self, *, prompt: int, completion: int) -> dict[str, Any]:
        """Return the chunk with the usage."""
        return self._chunk([]) | {"usage": usage(prompt=prompt, completion=completion)}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        chunk = self._head("chat.completion.chunk" if self.is_chat else "text_completion") | {"choices": choices}
        return chunk | {"usage": None} if self.include_usage else chunk

    def _head(self, kind: str) -> dict[str, Any]:
        fixed = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return fixed | {"system_fingerprint": self.revision}


def _choice(content: dict[str, Any], finish: FinishReason | None) -> dict[str, Any]:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason(finish)}
