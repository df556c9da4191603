"""What a client may ask of an answer, and what the model's own `generation_config.json` says where it asks for nothing.

Every error names the field by the words of the client's protocol.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tuneloop_server.fields import invalid, whole_number, wrong
from tuneloop_server.generation.answer import Generation
from tuneloop_server.generation.sampling import Sampling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_server.generation.beam_search import Beams

MOST_BEAMS = 16
"""Each is a row of the batch."""
MOST_STOPS, MOST_STOP_CHARACTERS = 16, 1024
"""OpenAI allows four stop strings. Each is looked for in every token's text."""
_MOST_TEMPERATURE = 2.0
_LEAST_PENALTY = 0.01
"""Logits divided by 1e-38 leave float32, and a logit of 0 becomes no number."""
_GREEDY_BELOW = 1e-3
"""A temperature below is greedy: logits divided by it leave float64."""


@dataclass(frozen=True, kw_only=True)
class GenerationDefaults:
    """`generation_config.json` of the model."""

    sampling: Sampling = field(default_factory=Sampling)
    max_new_tokens: int | None = None
    beams: Beams | None = None
    """How answers are searched for, perhaps with one beam; None: this model is not searched."""


@dataclass(frozen=True, kw_only=True)
class AskedSampling:
    """What a client asks for; None: nothing."""

    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None

    def over(self, defaults: Sampling) -> Sampling:
        """Return how tokens are chosen. A client that names a temperature, top_k or top_p wants a draw; without a temperature it gets that of the model, or 1."""
        penalty = defaults.repetition_penalty if self.repetition_penalty is None else self.repetition_penalty
        wants_draw = self.do_sample or (self.temperature, self.top_k, self.top_p) != (None, None, None)
        if self.do_sample is False or (not wants_draw and defaults.temperature == 0):
            return Sampling(repetition_penalty=penalty)
        temperature = self.temperature if self.temperature is not None else defaults.temperature or 1.0
        return Sampling(
            temperature=0.0 if temperature < _GREEDY_BELOW else temperature,
            top_k=defaults.top_k if self.top_k is None else self.top_k,
            top_p=defaults.top_p if self.top_p is None else self.top_p,
            repetition_penalty=penalty,
            seed=None if self.seed is None else self.seed % 2**64,
        )


def read_sampling(given: Mapping[str, object], *, prefix: str = "") -> AskedSampling:
    """Return what a client asks for; null stands for nothing. prefix: path of the object that holds the fields. Raises RequestError."""

    def number(name: str, least: float, most: float, example: float, *, above: bool = False) -> float | None:
        value = given.get(name)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # NaN is in no range, and an integer may be too large for a float
        if not is_number or not (least < value if above else least <= value) or value > most:  # type: ignore[operator]
            bounds = f"above {least:g} and at most {most:g}" if above else f"from {least:g} to {most:g}"
            raise wrong(f"{prefix}{name}", value, f"allowed are numbers {bounds}; for example {example:g}")
        return float(value)  # type: ignore[arg-type]

    do_sample, seed, top_k = given.get("do_sample"), given.get("seed"), given.get("top_k")
    if do_sample is not None and not isinstance(do_sample, bool):
        raise wrong(f"{prefix}do_sample", do_sample, "allowed are true and false")
    if seed is not None and (type(seed) is not int or abs(seed) >= 2**63):
        raise wrong(f"{prefix}seed", seed, "expected a whole number of at most 63 bits; for example 7")
    if top_k is not None:
        expected = "expected a whole number from 0 (all tokens); for example 50"
        top_k = whole_number(f"{prefix}top_k", top_k, least=0, expected=expected)
    return AskedSampling(
        do_sample=do_sample,
        temperature=number("temperature", 0, _MOST_TEMPERATURE, 0.7),
        top_k=top_k,
        top_p=number("top_p", 0, 1, 0.9, above=True),
        repetition_penalty=number("repetition_penalty", _LEAST_PENALTY, 10, 1.1),
        seed=seed,
    )


def read_stop(field: str, value: object) -> tuple[str, ...]:
    """Return the stop strings: of a string, a list of strings, or null. Raises RequestError."""
    strings = [] if value is None else [value] if isinstance(value, str) else value
    example = 'expected a string or a list of strings; for example ["\\n\\n"]'
    if not isinstance(strings, list) or not all(isinstance(string, str) for string in strings):
        raise wrong(field, value, example)
    if "" in strings:
        raise invalid(f"{field}: has an empty string, at which every answer would end; {example}", field=field)
    if len(strings) > MOST_STOPS or any(len(string) > MOST_STOP_CHARACTERS for string in strings):
        allowed = f"allowed are at most {MOST_STOPS} strings of at most {MOST_STOP_CHARACTERS} characters"
        raise invalid(f"{field}: {len(strings)} strings were given, {allowed}", field=field)
    return tuple(strings)


def read_max_tokens(field: str, value: object) -> int | None:
    """Return the most tokens of an answer; None: the client does not say. Raises RequestError."""
    if value is None:
        return None
    return whole_number(field, value, least=1, expected="expected a whole number from 1; for example 256")


def read_num_beams(field: str, value: object) -> int | None:
    """Return the beams that a client asks for; None: it does not say. Raises RequestError."""
    if value is None:
        return None
    count = whole_number(
        field, value, least=1, expected=f"allowed are whole numbers from 1 to {MOST_BEAMS}; for example 4"
    )
    if count > MOST_BEAMS:
        raise wrong(field, value, f"allowed are whole numbers from 1 to {MOST_BEAMS}; for example 4")
    return count


def answer_tokens(
    asked: int | None,
    *,
    default: int | None,
    prompt: int | None,
    window: int,
    limit: int | None,
    fields: tuple[str, str],
) -> int:
    """Return the most tokens of an answer.

    asked: by the client. default: where it asks for nothing, as far as there is room; None: as many as there is room for. prompt: its tokens; None: it takes no room of the
    answer. window: tokens of prompt and answer together. limit: that the deployment sets. fields: of the prompt and of the number, in errors. Raises RequestError if there is no room.
    """
    room = window - (prompt or 0)
    if room < 1:
        message = f"{fields[0]}: the prompt has {prompt} tokens, at most {window - 1} are allowed: the context window has {window} tokens for prompt and answer"
        raise invalid(message, field=fields[0])
    if asked is None:
        return min(most for most in (room, default, limit) if most is not None)
    if limit is not None and asked > limit:
        message = f"{fields[1]}: {asked} was given, at most {limit} are allowed here (batching.maxNewTokens)"
        raise invalid(message, field=fields[1])
    if asked > room:
        why = f"the prompt has {prompt} tokens, and the context window {window} for prompt and answer"
        found = f"allowed: an answer of this model has at most {window} tokens" if prompt is None else f"left: {why}"
        message = f"{fields[1]}: {asked} was given, at most {room} are {found}"
        raise invalid(message, field=fields[1])
    return asked


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a client asks of an answer, whatever the protocol."""

    sampling: AskedSampling
    stop: tuple[str, ...]
    max_tokens: int | None
    default_tokens: int | None
    """Most tokens where neither the client nor `generation_config.json` says; None: as many as there is room for."""
    fields: tuple[str, str]
    """What the protocol calls the prompt, and the most tokens."""
    num_beams: int | None = None
    beams_field: str = "num_beams"
    """What the protocol calls them."""
    stop_field: str = "stop"
    """What the protocol calls the stop strings."""

    def generation(
        self, *, prompt: int | None, window: int, limit: int | None, defaults: GenerationDefaults
    ) -> Generation:
        """Return how the answer is made. prompt, window, limit: of `answer_tokens`. Raises RequestError if there is no room, or if it cannot be searched for."""
        default = self.default_tokens if defaults.max_new_tokens is None else defaults.max_new_tokens
        most = answer_tokens(
            self.max_tokens, default=default, prompt=prompt, window=window, limit=limit, fields=self.fields
        )
        sampling = self.sampling.over(defaults.sampling)
        beams = self._beams(defaults.beams, draws=sampling.temperature > 0)
        return Generation(max_tokens=most, sampling=sampling, stop=self.stop, beams=beams)

    def _beams(self, default: Beams | None, *, draws: bool) -> Beams | None:
        """Return how the answer is searched for. A draw has one beam, and so has a model that continues its prompt."""
        asked = self.num_beams
        if default is None or draws:
            if asked is not None and asked > 1:
                why = "an answer that is drawn has one beam" if draws else "this model continues its prompt by one beam"
                raise wrong(self.beams_field, asked, f"{why}; allowed is 1")
            return None
        count = default.count if asked is None else asked
        if count > 1 and self.stop:
            message = f"{self.stop_field}: is only allowed with one beam, and this answer has {count}; send {self.beams_field}: 1"
            raise invalid(message, field=self.stop_field)
        return replace(default, count=count) if count > 1 else None


def refuse_unless(given: Mapping[str, object], neutral: Mapping[str, tuple[object, ...]], *, prefix: str = "") -> None:
    """Raise RequestError for a field that this server does not have, unless its value asks for nothing, as null does. neutral: field → such values."""
    for name, values in neutral.items():
        value = given.get(name)
        if value is not None and not any(type(value) is type(allowed) and value == allowed for allowed in values):
            shown = "".join(f"{json.dumps(allowed)}, or " for allowed in values[:1])
            raise wrong(f"{prefix}{name}", value, f"this server does not have it; allowed is {shown}nothing")
