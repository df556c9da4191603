"""YAML as kubectl reads it. It needs PyYAML, which programs that run do not."""

from __future__ import annotations

import re
import sys
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Quotes every text that some parser of YAML could take for something else, such as `2e-4`, `y` or `on`, and uses no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (PyYAML asks for each value)
        return True


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9./_-]*")
_NOT_TEXT = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|nan|inf")


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    is_plain = _PLAIN.fullmatch(text) and not _NOT_TEXT.fullmatch(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """Return JSON data as block YAML that kubectl reads as it was meant."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
