"""Whatever a message holds, it is refused, or it changes values of Envoy's configuration and never its shape."""

from __future__ import annotations

import copy
import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from splits import FULL

from tuneloop_router.envoy_config import clusters, routes
from tuneloop_router.errors import BadMessage
from tuneloop_router.split import Split

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NASTY = st.sampled_from(
    ["../../etc/passwd", "/dev/null", "a\x00b", "unix:/run/x", "%REQ(authorization)%", "\\1", "{", "ａ", "-", 0, -1, 2**63, 1e300]
)  # fmt: skip
LABELS = st.from_regex(re.compile(r"[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9})?", re.ASCII), fullmatch=True)
SMALL = st.integers(1, 100)
LEAVES = {
    ("generation",): SMALL, ("deployment",): LABELS, ("revisions", 0, "name"): LABELS, ("revisions", 0, "host"): LABELS | st.just("10.0.0.1"),
    ("revisions", 0, "port"): SMALL, ("revisions", 1, "weight"): SMALL, ("sticky", "header"): LABELS, ("sticky", "salt"): LABELS,
    ("shadow", "host"): LABELS, ("shadow", "port"): SMALL, ("shadow", "percent"): SMALL, ("limits", "bodyBytes"): SMALL,
    ("limits", "idleSeconds"): SMALL, ("limits", "perTryIdleSeconds"): SMALL, ("limits", "rateLimit", "requestsPerSecond"): st.floats(0.01, 1e6),
    ("limits", "rateLimit", "burst"): SMALL,
}  # fmt: skip
"""Each place of a value in the full document, with values that are allowed there."""


PATHS = sorted(LEAVES, key=str)
TEXT_PATHS = [
    path for path in PATHS if isinstance(path[-1], str) and path[-1] in {"deployment", "name", "host", "header", "salt"}
]


def put(document, path, value) -> dict:
    """Put a value into a document; return the object that holds it."""
    for name in path[:-1]:
        document = document[name]
    document[path[-1]] = value
    return document


@st.composite
def allowed(draw):
    """The full document with other values that are allowed, beside which further fields stand."""
    document = copy.deepcopy(FULL)
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=4)):
        place = put(document, path, draw(LEAVES[path]))
        place[draw(st.sampled_from(["listener", "path", "@type", "typed_config"]))] = draw(JSON)
    return document


@st.composite
def hostile(draw):
    """The full document with one value that is hardly allowed."""
    document = copy.deepcopy(FULL)
    put(document, draw(st.sampled_from(TEXT_PATHS) | st.sampled_from(PATHS)), draw(NASTY | NASTY | st.text() | JSON))
    return document


def shape(value):
    """Return a configuration with the type of each value in its place. Of types and filters the name stays: they choose code."""
    if isinstance(value, dict):
        return {name: item if name == "@type" else shape(item) for name, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def parse(document) -> Split:
    return Split.parse(json.dumps(document).encode())


def parsed_or_refused(data: bytes) -> Split | None:
    """Return the split; None if it is refused, in one line of plain text."""
    try:
        return Split.parse(data)
    except BadMessage as error:
        sentence = str(error)
    assert re.fullmatch(r"[ -~]{1,400}", sentence)
    return None


def configuration(split: Split) -> list:
    return [clusters(split, version="1"), routes(split)]


def texts(value):
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


KNOWN = set(texts(configuration(parse(FULL))))


@given(JSON.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=200))
def test_what_is_no_split_is_refused_in_one_line_of_plain_text(data):
    assert parsed_or_refused(data) is None


@settings(max_examples=80)
@given(hostile() | allowed())
def test_a_message_changes_values_of_the_configuration_and_never_its_shape(document):
    split = parsed_or_refused(json.dumps(document).encode())
    if split is None:
        return
    full = copy.deepcopy(FULL)  # what may be absent or 0 is absent here, too
    if split.shadow is None or split.shadow.percent == 0:
        full["shadow"] = document["shadow"]
    if split.limits.per_try_idle_seconds is None:
        del full["limits"]["perTryIdleSeconds"]
    assert shape(configuration(split)) == shape(configuration(parse(full)))
    for text in set(texts(configuration(split))) - KNOWN:
        assert re.fullmatch(r"[a-z0-9.-]+(:\d{1,5}|//comparator|(/[a-z0-9-]+){0,2})|[a-z0-9-]*:\\1", text), (
            f"{text!r} may be more than a name"
        )
        assert ".." not in text, f"{text!r} may be a path"
