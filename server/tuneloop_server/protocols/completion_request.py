"""The bodies of `/v1/chat/completions` and `/v1/completions`. Every error names the field; what OpenAI's API has and this server has not is refused by its name.

Beside OpenAI's fields `top_k` and `repetition_penalty` are read, and for a text `num_beams`, which clients send in `extra_body`.
Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_server.fields import check_known, choice, invalid, text_of, wrong
from tuneloop_server.generation.settings import (
    Asked,
    read_max_tokens,
    read_num_beams,
    read_sampling,
    read_stop,
    refuse_unless,
)
from tuneloop_server.protocols.json_body import json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty", "seed")
_COMMON = ("model", "stream", "stream_options", "stop", "max_tokens", *_SAMPLING)
_BEAMS = "num_beams"
_NOT_READ = (
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "parallel_tool_calls",
)
"""What OpenAI does for its own accounts; it changes no answer."""
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logit_bias": ({},),
}
_NEUTRAL_OF_CHAT: dict[str, tuple[object, ...]] = _NEUTRAL | {
    "logprobs": (False,),
    "top_logprobs": (),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
}
_NEUTRAL_OF_TEXT: dict[str, tuple[object, ...]] = _NEUTRAL | {
    "best_of": (1,),
    "echo": (False,),
    "logprobs": (),
    "suffix": ("",),
}
"""Fields that this server does not have → values that ask for nothing."""
_DEFAULT_TOKENS = 16
"""Of `/v1/completions`, by OpenAI's reference."""
_NO_MODEL = "dummy"
"""What Hugging Face's client writes into `model` where it was given an address."""
_CHAT_EXAMPLE = 'for example {"messages": [{"role": "user", "content": "Who was Ada Lovelace?"}]}'
_TEXT_EXAMPLE = 'for example {"prompt": "Ada Lovelace was"}'
_ROLES = ("system", "developer", "user", "assistant")
_OF_ANSWERS = ("refusal", "tool_calls", "function_call", "annotations", "audio")
"""What clients send back with an answer that they got; it must be empty."""


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    """A request whose fields are valid. The model still has to read the prompt."""

    model: str
    prompt: str | list[dict[str, str]]
    """A text, or messages with `role` and `content`."""
    asked: Asked
    stream: bool
    include_usage: bool
    """Whether a stream ends with an event that has the usage."""


def read_chat(body: bytes, *, named: Callable[[object], str]) -> CompletionRequest:
    """Return what a request for a chat asks for. named: (what stands in `model`) → the name that is served, or RequestError. Raises RequestError."""
    document = json_object(body, example=_CHAT_EXAMPLE)
    check_known(document, (*_COMMON, "messages", "max_completion_tokens", *_NOT_READ, *_NEUTRAL_OF_CHAT))
    refuse_unless(document, _NEUTRAL_OF_CHAT)
    newer = document.get("max_completion_tokens") is not None
    return _request(
        document,
        prompt=read_messages(document.get("messages")),
        named=named,
        default_tokens=None,
        fields=("messages", "max_completion_tokens" if newer else "max_tokens"),
    )


def read_completion(body: bytes, *, named: Callable[[object], str]) -> CompletionRequest:
    """Return what a request for the rest of a text asks for. named, errors: as of `read_chat`."""
    document = json_object(body, example=_TEXT_EXAMPLE)
    check_known(document, (*_COMMON, _BEAMS, "prompt", *_NOT_READ, *_NEUTRAL_OF_TEXT))
    refuse_unless(document, _NEUTRAL_OF_TEXT)
    given = document.get("prompt")
    if isinstance(given, list) and len(given) == 1:
        (given,) = given
    prompt = text_of("prompt", given, expected=f"expected a string, {_TEXT_EXAMPLE}")
    fields = ("prompt", "max_tokens")
    return _request(document, prompt=prompt, named=named, default_tokens=_DEFAULT_TOKENS, fields=fields)


def _request(
    document: Mapping[str, object],
    *,
    prompt: str | list[dict[str, str]],
    named: Callable[[object], str],
    default_tokens: int | None,
    fields: tuple[str, str],
) -> CompletionRequest:
    stream = _switch("stream", document.get("stream"))
    model = document.get("model")
    return CompletionRequest(
        model=named(None if model == _NO_MODEL else model),
        prompt=prompt,
        asked=Asked(
            sampling=read_sampling(document),
            stop=read_stop("stop", document.get("stop")),
            max_tokens=read_max_tokens(fields[1], document.get(fields[1])),
            default_tokens=default_tokens,
            fields=fields,
            num_beams=read_num_beams(_BEAMS, document.get(_BEAMS)),
        ),
        stream=stream,
        include_usage=_include_usage(document.get("stream_options"), stream=stream),
    )


def _include_usage(options: object, *, stream: bool) -> bool:
    if options is None:
        return False
    example = 'for example {"include_usage": true}'
    if not isinstance(options, dict):
        raise wrong("stream_options", options, f"expected an object, {example}")
    if not stream:
        raise invalid("stream_options: is only allowed with stream: true", field="stream_options")
    check_known(options, ("include_usage", "include_obfuscation"), prefix="stream_options.")
    refuse_unless(options, {"include_obfuscation": (False,)}, prefix="stream_options.")
    return _switch("stream_options.include_usage", options.get("include_usage"))


def _switch(field: str, value: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise wrong(field, value, "allowed are true and false")


def read_messages(given: object, *, field: str = "messages") -> list[dict[str, str]]:
    """Return the messages of a conversation. field: of the list, in errors. Raises RequestError."""
    if not isinstance(given, list) or not given:
        raise wrong(field, given, f"expected a list of at least one message, {_CHAT_EXAMPLE}")
    return [_message(f"{field}[{index}]", message) for index, message in enumerate(given)]


def _message(field: str, given: object) -> dict[str, str]:
    if not isinstance(given, dict):
        raise wrong(field, given, f"expected an object, {_CHAT_EXAMPLE}")
    check_known(given, ("role", "content", "name", *_OF_ANSWERS), prefix=f"{field}.")
    for name in _OF_ANSWERS:
        if given.get(name):
            raise wrong(f"{field}.{name}", given[name], "this server does not have it; leave it out")
    role = choice(f"{field}.role", given.get("role"), _ROLES)
    # chat templates know OpenAI's newer word for it by its older name
    return {
        "role": "system" if role == "developer" else role,
        "content": _content(f"{field}.content", given.get("content")),
    }


def _content(field: str, given: object) -> str:
    """Return the text of a message: a string, or parts of type `text`."""
    expected = 'expected a string, or a list of parts such as {"type": "text", "text": "Hello"}'
    if not isinstance(given, list):
        return text_of(field, given, expected=expected)
    texts = []
    for index, part in enumerate(given):
        if not isinstance(part, dict):
            raise wrong(f"{field}[{index}]", part, expected)
        choice(f"{field}[{index}].type", part.get("type"), ("text",))
        texts.append(text_of(f"{field}[{index}].text", part.get("text")))
    return "".join(texts)
