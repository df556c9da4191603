"""Reads YAML exactly as kubectl does, so that a manifest means the same to the command line and to the cluster.

kubectl reads YAML 1.1 with go-yaml v2 and hands it on as JSON. Python's own reader differs: to it `2e-4` is text, `0o17` is text, `y` is
text, `1:30` is ninety, and a date is a date. Source: go.yaml.in/yaml/v2 resolve.go, sigs.k8s.io/yaml yaml.go. The table in
tests/golden/yaml_scalars.json is compared with the real kubectl.

Two things that kubectl accepts are errors here: a key that stands twice in one mapping (kubectl takes the last), and a decimal key.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, ClassVar, TypeAlias

import yaml
from yaml.constructor import ConstructorError

Scalar: TypeAlias = str | int | float | bool | None

_TAG = "tag:yaml.org,2002:"
_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_NULL = {"", "~", "null", "Null", "NULL"}
_INFINITE = {f"{sign}{text}" for sign in ("", "+", "-") for text in (".inf", ".Inf", ".INF")} | {".nan", ".NaN", ".NAN"}
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])_(?=[0-9])")
_BASES = (16, 2, 8, 10)


def resolve_scalar(text: str) -> Scalar:
    """Return what a plain (unquoted) scalar means. Raises ValueError for infinity and not-a-number, which JSON cannot hold."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _NULL:
        return None
    if text in _INFINITE:
        raise ValueError(f"{text} is not a number that a manifest can hold")
    if re.match(r"[-+0-9]", text):
        return _number(text.replace("_", ""), otherwise=text)
    return _float(_BETWEEN_DIGITS.sub("", text), otherwise=text) if text.startswith(".") else text


def _number(plain: str, *, otherwise: str) -> Scalar:
    if found := _INTEGER.fullmatch(plain):
        base, digits = next((base, digits) for base, digits in zip(_BASES, found.groups()[1:], strict=True) if digits)
        value = int(f"{found[1]}{digits}", base)
        if -(2**63) <= value < 2**63:
            return value
        if found[1] == "" and value < 2**64:
            return float(value)  # kubectl's next step reads JSON, where only 64 bits with a sign are an integer
    return _float(plain, otherwise=otherwise)


def _float(plain: str, *, otherwise: str) -> Scalar:
    if not _FLOAT.fullmatch(plain):
        return otherwise
    value = float(plain)
    if math.isinf(value):
        return otherwise  # out of range: kubectl leaves the text
    # JSON knows one kind of number: 1e3 is written as 1000 and read back as an integer
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


class KubectlLoader(yaml.SafeLoader):
    """For `yaml.load_all(text, Loader=KubectlLoader)`: plain data as kubectl would send it, all keys text."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """Return the tag of a node that has none; a quoted scalar is text."""
        if kind is not yaml.ScalarNode:
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
        if not implicit[0]:
            return f"{_TAG}str"
        return f"{_TAG}merge" if value == "<<" else f"{_TAG}plain"

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Read the bare tag `!` as "this is text"."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it untyped
        event.tag = f"{_TAG}str" if event.tag == "!" else event.tag
        return super().compose_scalar_node(anchor)

    def plain(self, node: yaml.ScalarNode) -> Scalar:
        """Construct a plain scalar."""
        try:
            return resolve_scalar(node.value)
        except ValueError as error:
            raise ConstructorError(None, None, str(error), node.start_mark) from error

    def typed(self, node: yaml.Node) -> Scalar:
        """Construct a scalar with an explicit tag: `!!int "3"`. The value must be of that type."""
        name = node.tag.removeprefix(_TAG)
        value = self.plain(_scalar(node))
        types = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}[name]
        if not isinstance(value, types) or (isinstance(value, bool) and name != "bool"):
            raise ConstructorError(None, None, f"cannot read {node.value!r} as !!{name}", node.start_mark)
        return value

    def text(self, node: yaml.Node) -> str:
        """Construct quoted text. JSON writes a character beyond U+FFFF as two escapes; half of such a pair stands for no character."""
        value = str(_scalar(node).value)
        is_whole = not any("\ud800" <= letter <= "\udfff" for letter in value)
        return value if is_whole else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def binary(self, node: yaml.Node) -> str:
        """Construct `!!binary`: text from base64."""
        try:
            return base64.b64decode("".join(_scalar(node).value.split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ConstructorError(None, None, "!!binary must be base64 of UTF-8 text", node.start_mark) from error

    def untagged(self, node: yaml.Node) -> Any:
        """Construct by shape: the tag is unknown, and is ignored."""
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.construct_object(item, deep=True) for item in node.value]
        return str(node.value)

    def mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        """Construct a mapping; `<<` merges where it stands, so that it overrides what is above it."""
        result: dict[str, Any] = {}
        keys: set[str] = set()
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                result |= self.merged(value_node)
                continue
            key = self.key(key_node)
            if key in keys:
                raise ConstructorError(None, None, f"the key {key!r} stands twice in one mapping", key_node.start_mark)
            keys.add(key)
            result[key] = self.construct_object(value_node, deep=True)
        return result

    def merged(self, node: yaml.Node) -> dict[str, Any]:
        """Return what `<<` brings: a mapping, or several of which the first wins."""
        sources = list(reversed(node.value)) if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(source, yaml.MappingNode) for source in sources):
            raise ConstructorError(None, None, "<< needs a mapping or a list of mappings", node.start_mark)
        result: dict[str, Any] = {}
        for source in sources:
            result |= self.construct_object(source, deep=True)
        return result

    def key(self, node: yaml.Node) -> str:
        """Construct a key: JSON has text only, so 12 is "12" and yes is "true"."""
        value = self.construct_object(node, deep=True)
        if isinstance(value, bool):
            return str(value).lower()
        whole = isinstance(value, int) and _INTEGER.fullmatch(node.value.replace("_", ""))
        if not isinstance(value, str) and not whole:
            raise ConstructorError(None, None, "a key must be text: put it in quotes", node.start_mark)
        return str(value)

    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        f"{_TAG}plain": plain,
        f"{_TAG}str": text,
        f"{_TAG}binary": binary,
        **dict.fromkeys((f"{_TAG}{name}" for name in ("int", "float", "bool", "null")), typed),
        None: untagged,
    }


def constructed(node: yaml.Node) -> Any:
    """Return the plain data of a composed document, so that a text is read once for its values and for their lines."""
    return KubectlLoader("").construct_document(node)


def _scalar(node: yaml.Node) -> yaml.ScalarNode:
    if not isinstance(node, yaml.ScalarNode):
        raise ConstructorError(None, None, f"{node.tag.removeprefix(_TAG)} is not a mapping or a list", node.start_mark)
    return node
