"""`BadManifest`: a manifest with one mistake, who refuses it, and what the message must say.

`says` is what the API server (or, for `By.OPERATOR`, the condition Accepted) must say behind the field's path; `advice` is what
`tuneloop validate` must say, where that is better than the same words.
"""

from __future__ import annotations

import copy
import enum
import json
import re
from dataclasses import dataclass
from typing import Any

from tuneloop_api.v1alpha1 import API_VERSION, FineTuneJob, ModelDeployment
from tuneloop_api.wire import text_formats as f

JOB, DEPLOYMENT = FineTuneJob, ModelDeployment


class Absent(enum.Enum):
    """In the place of a value."""

    GONE = "the field is left out"


GONE = Absent.GONE
GOOD: dict[Any, dict[str, Any]] = {
    JOB: {
        "model": {"uri": "hf://FacebookAI/roberta-base"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/reviews.csv"}]},
        "storage": {"claim": "models"},
    },
    DEPLOYMENT: {"model": {"uri": "pvc://models/artifact"}},
}


class By(enum.Enum):
    """Who refuses a manifest."""

    STRICT = "strict decoding"
    """The API server, where the client asks for it, as kubectl does; else it drops the field with a warning."""
    SCHEMA = "schema"
    RULE = "CEL"
    SERVER = "API server"
    """What it checks of every kind."""
    OPERATOR = "Accepted=False"


@dataclass(frozen=True)
class Literal:
    """A value as it stands in the JSON text, where Python could not write it."""

    text: str


@dataclass(frozen=True, kw_only=True)
class BadManifest:
    """One mistake."""

    row: str
    by: By
    path: str
    value: Any
    says: str
    advice: str
    kind: Any = JOB
    besides: dict[str, Any]
    """Further fields, by path, without which the mistake would be none."""
    field: str
    """The path that must be named: of the mistake, or of what is missing."""

    @property
    def manifest(self) -> dict[str, Any]:
        """The whole manifest."""
        body = {
            "apiVersion": API_VERSION,
            "kind": self.kind.__name__,
            "metadata": {"name": "bad"},
            "spec": GOOD[self.kind],
        }
        body = copy.deepcopy(body)
        for path, value in (self.besides | {self.path: self.value}).items():
            put(body, path, copy.deepcopy(value))
        return body

    @property
    def text(self) -> str:
        """The manifest as JSON text, which is YAML too."""
        return re.sub(
            r'"LITERAL\((.*?)\)"', r"\1", json.dumps(self.manifest, default=lambda value: f"LITERAL({value.text})")
        )


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a path such as `spec.data.train[0].uri`; blocks on the way are made."""
    *above, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
    inner: Any = body
    for part in above:
        inner = inner[part] if isinstance(part, int) else inner.setdefault(part, {})
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value


def bad(
    row: str,
    by: By,
    path: str,
    value: Any,
    says: str = "",
    *,
    advice: str = "",
    field: str = "",
    kind: Any = JOB,
    **besides: Any,
) -> BadManifest:
    besides = {name.replace("__", "."): given for name, given in besides.items()}
    return BadManifest(
        row=row,
        by=by,
        path=path,
        value=value,
        says=says,
        advice=advice or says,
        field=field or path,
        kind=kind,
        besides=besides,
    )


def unknown_field(
    row: str, path: str, value: Any, advice: str = "unknown field", *, kind: Any = JOB, **besides: Any
) -> BadManifest:
    return bad(row, By.STRICT, path, value, f'unknown field "{path}"', advice=advice, kind=kind, **besides)


def bad_text(
    row: str, path: str, value: str | int, text_format: f.TextFormat, *, kind: Any = JOB, **besides: Any
) -> BadManifest:
    return bad(row, By.RULE, path, value, text_format.message, advice=text_format.allowed, kind=kind, **besides)
