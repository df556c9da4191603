"""Redacts output for an object's status: the last few lines of a failed process, cut short, without secrets; and secrets in texts. Pure: the environment is given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneloop_api.contract.results import LONGEST_LAST_LINE, MOST_LAST_LINES
from tuneloop_api.wire.names import SECRET_VARIABLES
from tuneloop_api.wire.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY|PRIVATE_?KEY", re.IGNORECASE
)
_SHORTEST_SECRET = 6
"""Characters. Replacing a shorter value would hide words that are not secret."""
_CREDENTIALS = re.compile(r"\b(Bearer|Basic) +([A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
_WORDS = re.compile(r"(?:[A-Z]?[a-z]+|[A-Z]+)(?:[-./]+(?:[A-Z]?[a-z]+|[A-Z]+))*[-.]*")
_SECRET_PATTERNS = (
    (re.compile(r"\b(hf_|sk-|ghp_|AKIA)[A-Za-z0-9_-]{12,}"), r"\1***"),
    (_CREDENTIALS, r"\1 ***"),
    (re.compile(r"(?<=://)[^/\s]+(?=@)"), "***"),
    (
        re.compile(r"([?&][\w-]*(?:signature|sig|token|secret|password|credential)=)[^&\s,\"']+", re.IGNORECASE),
        r"\1***",
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"), "***"),
)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def last_lines(lines: Iterable[str], *, environment: Mapping[str, str]) -> list[str]:
    """Return the last 20 lines that are not blank, each cut to 200 characters, without secrets and control characters. environment: as in `redact`."""
    plain = (printable(_CONTROL.sub("", line).rstrip()) for line in lines)
    newest = [line for line in plain if line][-MOST_LAST_LINES:]
    return [_cut(redact(line, environment)) for line in newest]


def redact(text: str, environment: Mapping[str, str]) -> str:
    """Return a text with `***` in place of secrets.

    Secrets are the values of variables that the pod has from a Secret or whose names say so, such as `HF_TOKEN`, and texts that look like secrets.
    """
    from_secrets = environment.get(SECRET_VARIABLES, "").split(",")
    for name, value in environment.items():
        if name in from_secrets or _SECRET_NAME.search(name):
            for line in filter(_is_long, value.splitlines()):
                text = text.replace(line, "***")
    for pattern, shown in _SECRET_PATTERNS:
        text = pattern.sub(shown, text)
    return text


def redact_prose(text: str) -> str:
    """Return what a person wrote with `***` in place of what looks like a secret; words behind `basic` and `bearer` stay, such as in "a basic understanding"."""
    for pattern, shown in _SECRET_PATTERNS:
        text = pattern.sub(_credentials if pattern is _CREDENTIALS else shown, text)
    return text


def _credentials(found: re.Match[str]) -> str:
    return found[0] if _WORDS.fullmatch(found[2]) else f"{found[1]} ***"


def _is_long(secret: str) -> bool:
    return len(secret) >= _SHORTEST_SECRET


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_LAST_LINE else f"{line[: LONGEST_LAST_LINE - 1]}…"
