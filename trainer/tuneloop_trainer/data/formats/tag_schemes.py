"""How the tags of words mark spans: IOB1, IOB2 (also called BIO) and BIOES. Pure.

A span is a run of words with one type, such as the name of a person. A tag is `O` (no span), or a prefix and the type, such as `B-PER`.

    IOB1   I- for each word of a span; B- only for the first word of a span that follows a span of its type at once
    IOB2   B- for the first word of a span, I- for its further words
    BIOES  B- for the first, I- for an inner, E- for the last word of a span; S- for a span of one word

Source: Ramshaw and Marcus 1995 (IOB1), Tjong Kim Sang and Veenstra 1999 (IOB1, IOB2).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Scheme = Literal["iob1", "iob2", "bioes"]
OUTSIDE = "O"
PREFIXES: dict[Scheme, str] = {"iob1": "BI", "iob2": "BI", "bioes": "BIES"}
_TAGS = "O, or B-, I-, E- or S- with a type, such as B-PER"
_NAMES: dict[Scheme, str] = {"iob1": "IOB1", "iob2": "IOB2", "bioes": "BIOES"}
_SENTENCES = 1000
"""Sentences with a span that decide about a scheme, at most: a correct sentence with a span is correct in one scheme only."""


@dataclass(frozen=True, slots=True)
class Span:
    """Words `start` to `end` (exclusive) of one type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class ImpossibleTag:
    """A tag that its scheme does not allow at its place."""

    index: int
    """Place of the word, from 0."""
    reason: str


def type_of(tag: str) -> str | None:
    """Return the type of a tag, None for `O`. Raises ValueError if it is a tag of no scheme."""
    if tag == OUTSIDE:
        return None
    prefix, _, kind = tag.partition("-")
    if prefix not in {"B", "I", "E", "S"} or not kind:
        raise ValueError(f"{tag!r} is no tag: {_TAGS}")
    return kind


def spans_of(tags: Sequence[str], scheme: Scheme) -> list[Span] | ImpossibleTag:
    """Return the spans of a sentence, or the first tag that the scheme does not allow at its place."""
    spans: list[Span] = []
    previous = OUTSIDE
    for index, tag in enumerate(tags):
        reason = _fault(previous, tag, scheme)
        if reason is not None:
            return ImpossibleTag(index, reason)
        if (kind := type_of(tag)) is not None:
            if _begins(previous, tag, scheme):
                spans.append(Span(index, index + 1, kind))
            else:
                spans[-1] = Span(spans[-1].start, index + 1, kind)
        previous = tag
    if scheme == "bioes" and previous[0] in "BI":
        return ImpossibleTag(len(tags) - 1, f"{previous} at the end of the sentence: BIOES ends a span with E- or S-")
    return spans


def tags_of(spans: Iterable[Span], *, words: int, scheme: Literal["iob2", "bioes"]) -> list[str]:
    """Return the tags of a sentence of so many words."""
    tags = [OUTSIDE] * words
    for span in spans:
        tags[span.start : span.end] = [f"I-{span.type}"] * (span.end - span.start)
        tags[span.start] = f"B-{span.type}"
        if scheme == "bioes":
            tags[span.end - 1] = f"{'S' if span.end - span.start == 1 else 'E'}-{span.type}"
    return tags


def detect(sentences: Iterable[Sequence[str]]) -> Scheme:
    """Return the scheme in which most of the first sentences with a span are correct; IOB2 if there is no such sentence.

    A sentence with a span cannot be correct in two schemes: the first word of its first span has I- in IOB1 and B- in IOB2; in BIOES the
    last word of that span has E- or S-.
    """
    votes: Counter[Scheme] = Counter()
    for tags in sentences:
        votes.update(scheme for scheme in PREFIXES if isinstance(found := spans_of(tags, scheme), list) and found)
        if votes.total() >= _SENTENCES:
            break
    return max(PREFIXES, key=lambda scheme: (votes[scheme], scheme == "iob2"))


def _fault(previous: str, tag: str, scheme: Scheme) -> str | None:
    """Return why a tag cannot follow the tag before it; the tag before the first word is `O`."""
    try:
        kind, before = type_of(tag), type_of(previous)
    except ValueError:  # shows the tag, which is a word of the text where a wrong column was taken for the tags
        return f"no tag: {_TAGS}"
    if tag != OUTSIDE and tag[0] not in PREFIXES[scheme]:
        return f"{tag} has a prefix that {_NAMES[scheme]} does not have"
    place = f"{tag} after {previous}"
    if scheme == "iob1":
        alone = tag[0] == "B" and kind != before
        return f"{place}: IOB1 has B- only behind a span of the same type" if alone else None
    is_open = previous[0] in "BI" if scheme == "bioes" else before is not None
    goes_on = tag[0] in "IE"
    if goes_on and not (is_open and kind == before):
        return f"{place}: {_NAMES[scheme]} begins a span with {'B-' if scheme == 'iob2' else 'B- or S-'}"
    if scheme == "bioes" and is_open and not goes_on:
        return f"{place}: BIOES ends a span with E- or S-"
    return None


def _begins(previous: str, tag: str, scheme: Scheme) -> bool:
    """Return whether a span begins with a tag that is allowed at its place and is not `O`."""
    if scheme == "iob1":
        return tag[0] == "B" or type_of(previous) != type_of(tag)
    return tag[0] in "BS"
