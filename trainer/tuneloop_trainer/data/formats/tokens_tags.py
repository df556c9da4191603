"""Rows `{"tokens": [str], "tags": [str]}`: the words of a sentence, and a tag for each word.

The tags of a row are correct in IOB2, or in BIOES where a source or `model.labels` has BIOES; IOB1 is turned into IOB2.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from tuneloop_trainer.data.formats.labels import LONGEST_LABEL, in_order, known_classes, normal_label
from tuneloop_trainer.data.formats.row_format import Parsing, RowFormat, SourceToParse, Unusable
from tuneloop_trainer.data.formats.tag_schemes import (
    OUTSIDE,
    PREFIXES,
    ImpossibleTag,
    Scheme,
    detect,
    spans_of,
    tags_of,
    type_of,
)
from tuneloop_trainer.data.sources.excerpt import Excerpt, excerpt_of
from tuneloop_trainer.data.sources.raw import BadReason, RawRow, is_unicode
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Row

Target = Literal["iob2", "bioes"]


def parse(row: RawRow, *, scheme: Scheme, target: Target, known: Mapping[str, str] | None) -> Row | Unusable:
    """Return the row's words and tags, the tags in the scheme `target`. `known`: the tags of `model.labels`, from `known_classes`."""
    tokens, tags = (_listed(cell) for cell in row.cells)
    problem = _problem_of_tokens(tokens) or _problem_of_tags(tags)
    if problem is not None:
        return problem
    if len(tokens) != len(tags):
        found = excerpt_of(" ".join(tokens), about=f"{len(tokens)} tokens, {len(tags)} tags")
        return Unusable(BadReason.OTHER_LENGTH, found)
    spans = spans_of([normal_label(tag) for tag in tags], scheme)
    if isinstance(spans, ImpossibleTag):
        return Unusable(BadReason.IMPOSSIBLE_TAG, _at(spans.index, spans.reason, tokens=tokens, tags=tags))
    written = tags_of(spans, words=len(tokens), scheme=target)
    if known is None:
        return {"tokens": tokens, "tags": written}
    unknown = next((index for index, tag in enumerate(written) if tag not in known), None)
    if unknown is not None:
        reason = f"{written[unknown]} is not in model.labels"
        return Unusable(BadReason.UNKNOWN_TAG, _at(unknown, reason, tokens=tokens, tags=written))
    return {"tokens": tokens, "tags": [known[tag] for tag in written]}


def _parsing(sources: Sequence[SourceToParse], settings: Settings) -> Parsing:
    for source in sources:
        if source.settings.label_rule is not None:
            raise ConfigError(f"{source.field}.labelRule: a tag is no number; leave labelRule out")
    if settings.data.split.stratify:
        raise ConfigError(
            "data.split.stratify: a split cannot be stratified by tags, since a row has several",
            hint="leave stratify out",
        )
    given = settings.model.labels
    chosen = settings.task_options.tag_scheme
    schemes = [detect(_tags_of_rows(source)) if chosen == "auto" else chosen for source in sources]
    target: Target = ("bioes" if "bioes" in schemes else "iob2") if given is None else _scheme_of_labels(given)
    known = known_classes(given)
    return Parsing(
        parsers=[partial(parse, scheme=scheme, target=target, known=known) for scheme in schemes],
        facts={"tagSchemes": schemes, "writtenAs": target},
    )


def _scheme_of_labels(labels: Sequence[str]) -> Target:
    """Return the scheme that `model.labels` are written in. Raises ConfigError if they are no tags."""
    try:
        for label in labels:
            type_of(label)
    except ValueError as error:
        hint = "name all tags in the order of their ids, or leave labels out"
        raise ConfigError(f"model.labels: {error}", hint=hint) from error
    if OUTSIDE not in labels:
        raise ConfigError(f"model.labels: {', '.join(labels[:20])} lacks O, the tag of words in no span")
    return _written_as(labels)


def _written_as(tags: Collection[str]) -> Target:
    return "bioes" if any(tag[0] in "ES" for tag in tags) else "iob2"


def _tags_of_rows(source: SourceToParse) -> Iterator[Sequence[str]]:
    for row in source.rows():
        tags = None if row.problem is not None else _listed(row.cells[1])
        if tags is not None and _problem_of_tags(tags) is None:
            yield [normal_label(tag) for tag in tags]


def _listed(cell: object) -> list[str]:
    """Return a cell as a list, empty where there is no list; CSV and TSV hold lists as strings with spaces."""
    value = cell.split() if isinstance(cell, str) else cell
    return value if isinstance(value, list) else []


def _problem_of_tokens(tokens: list[str]) -> Unusable | None:
    if not tokens:
        return Unusable(BadReason.MISSING_TOKENS)
    if not all(isinstance(token, str) for token in tokens):
        return Unusable(BadReason.NOT_TOKENS, excerpt_of(tokens))
    if (blank := next((index for index, token in enumerate(tokens) if not token.strip()), None)) is not None:
        return Unusable(BadReason.BLANK_WORD, excerpt_of(" ".join(tokens), about=f"token {blank + 1}"))
    return None if all(map(is_unicode, tokens)) else Unusable(BadReason.NOT_UNICODE, excerpt_of(" ".join(tokens)))


def _problem_of_tags(tags: list[str]) -> Unusable | None:
    if not tags:
        return Unusable(BadReason.MISSING_TAGS)
    if not all(isinstance(tag, str) for tag in tags):
        return Unusable(BadReason.NOT_TAGS, excerpt_of(tags))
    if (long := next((tag for tag in tags if len(tag) > LONGEST_LABEL), None)) is not None:
        return Unusable(BadReason.LONG_LABEL, excerpt_of(long))
    return None if all(map(is_unicode, tags)) else Unusable(BadReason.LABEL_NOT_UNICODE, excerpt_of(" ".join(tags)))


def _at(index: int, reason: str, *, tokens: Sequence[str], tags: Sequence[str]) -> Excerpt:
    return excerpt_of(f"{tokens[index][:40]!r} {tags[index]}", about=f"token {index + 1}, {reason}")


def _label_names(tags: Collection[str]) -> list[str]:
    """Return O, then all prefixes of each type: also a tag that no row has, since the next text may need it."""
    types = in_order(kind for tag in tags if (kind := type_of(tag)) is not None)
    return [OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in PREFIXES[_written_as(tags)])]


TOKENS_TAGS = RowFormat(
    name="tokens-tags",
    columns=("tokens", "tags"),
    schema=pa.schema([("tokens", pa.list_(pa.string())), ("tags", pa.list_(pa.string()))]),
    parsing=_parsing,
    texts=lambda row: (" ".join(row["tokens"]),),
    answer=lambda row: " ".join(row["tags"]),
    labels=lambda row: tuple(sorted(set(row["tags"]))),
    label_names=_label_names,
    class_of=type_of,
    fewest_classes=1,
    no_classes="all tags are O: no row has a span to learn",
    one_label=False,
    expansion=8,  # two compressed copies of the text; ids, labels and words of its tokens twice
)
