"""The faults as data: when (`Match`) and what (an act). No I/O.

A rule meets calls, or, if its match names an `event` or its act is `SkipEvent`, the events of watches; then `name` and `namespace` are those
of the event's object. `CutWatch`, `StallWatch` and `WatchError` without an `event` meet a watch as a whole: each one that is open when the
rule is added, at once, and each later one as it begins. All rules that match act, in the order in which they were added.

As JSON: `{"match": {"verb": "create", "nth": 2}, "act": {"kind": "delay", "seconds": 3}}`.
"""

from __future__ import annotations

import re
import signal
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from fault_proxy.calls import WRITES

if TYPE_CHECKING:
    from collections.abc import Callable

    from fault_proxy.calls import Target

_REASON_OF_CODE = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired", 422: "Invalid",
    429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip


class RuleError(ValueError):
    """A rule cannot be understood."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which calls or events. Each text is a regular expression for the whole value; None matches any.

    `nth`, `every` and `first` count the calls or events that match the rest of it, from 1.
    """

    verb: str | None = None
    """`write` stands for every verb that writes."""
    resource: str | None = None
    subresource: str | None = None
    """Empty: only the object itself."""
    namespace: str | None = None
    name: str | None = None
    path: str | None = None
    event: str | None = None
    """ADDED, MODIFIED, DELETED, BOOKMARK, ERROR."""
    nth: int | None = None
    """This one alone."""
    every: int | None = None
    """Each so manieth."""
    first: int | None = None
    """So many, and no more."""

    def __post_init__(self) -> None:
        for name in ("verb", "resource", "subresource", "namespace", "name", "path", "event"):
            pattern = getattr(self, name)
            try:
                re.compile(pattern or "")
            except re.error as error:
                raise RuleError(f"{name}: {pattern!r} is no regular expression: {error}") from None
        for name in ("nth", "every", "first"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise RuleError(f"{name}: {number} is below 1")

    def fits(self, target: Target, *, event: str | None = None) -> bool:
        """Whether a call, or the event of a watch, is one of those that are counted."""
        verb = self.verb == "write" and target.verb in WRITES
        return (verb or _fits(self.verb, target.verb)) and all(
            _fits(pattern, value)
            for pattern, value in (
                (self.resource, target.resource),
                (self.subresource, target.subresource),
                (self.namespace, target.namespace),
                (self.name, target.name),
                (self.path, target.path),
                (self.event, event or ""),
            )
        )

    def is_due(self, count: int) -> bool:
        """Whether the rule acts on the `count`-th match."""
        return (
            (self.nth is None or count == self.nth)
            and (self.every is None or count % self.every == 0)
            and (self.first is None or count <= self.first)
        )


def _fits(pattern: str | None, value: str) -> bool:
    return pattern is None or _compiled(pattern).fullmatch(value) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@dataclass(frozen=True, kw_only=True)
class MetCall:
    """What a callback of `Invoke` gets."""

    target: Target
    body: bytes
    """Of the request; of an event, its line."""
    answer: Status | None = None
    """What the API server answered, if the callback runs after that."""


@dataclass(frozen=True)
class Act:
    """What a rule does."""

    kind: ClassVar[str]
    of_watch: ClassVar[bool] = False
    """It needs an open watch: it is nothing that can be done to another call."""


@dataclass(frozen=True)
class Delay(Act):
    """The call is sent later, or its answer delivered later; the event is held back, and with it all that follow in its watch."""

    kind = "delay"
    seconds: float
    after: bool = False


@dataclass(frozen=True)
class Status(Act):
    """The proxy answers; the API server never sees the call."""

    kind = "status"
    code: int
    reason: str = ""
    """Kubernetes' word for it; by default the usual one of the code."""
    message: str = "by a rule of the fault proxy"
    retry_after: int | None = None
    """Seconds, as a header and in the details."""
    body: Any = None
    """JSON that is answered as it is, for example an old list; by default a `Status` object."""

    def document(self) -> Any:
        """Return the JSON of the answer."""
        if self.body is not None:
            return self.body
        details = {"retryAfterSeconds": self.retry_after} if self.retry_after is not None else {}
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason or _REASON_OF_CODE.get(self.code, "Unknown"),
            "details": details,
            "code": self.code,
        }


@dataclass(frozen=True)
class DropBefore(Act):
    """The connection is closed; the API server never sees the call."""

    kind = "drop_before"


@dataclass(frozen=True)
class DropAfter(Act):
    """The API server does the call; the connection is closed instead of the answer."""

    kind = "drop_after"


@dataclass(frozen=True)
class ShiftDate(Act):
    """The `Date` of the answer is that of a clock which is so many seconds ahead of the API server's."""

    kind = "shift_date"
    seconds: float


@dataclass(frozen=True)
class CutWatch(Act):
    """The connection of the watch breaks off."""

    kind = "cut_watch"
    of_watch = True
    half: bool = False
    """In the middle of a line: of the event that was met, else of a made-up one."""


@dataclass(frozen=True)
class StallWatch(Act):
    """The watch stays open and is silent, even if the API server ends it. When the rule is removed, what was held back is delivered."""

    kind = "stall_watch"
    of_watch = True


@dataclass(frozen=True)
class SkipEvent(Act):
    """The event is never delivered."""

    kind = "skip_event"
    of_watch = True


@dataclass(frozen=True)
class WatchError(Act):
    """The watch gets an ERROR event and ends. It reaches a stalled watch, too."""

    kind = "watch_error"
    of_watch = True
    code: int = 410
    message: str = "too old resource version: by a rule of the fault proxy"


@dataclass(frozen=True)
class Kill(Act):
    """A signal is sent: after the API server has done the call and before the answer is delivered; before the event is delivered.

    With SIGKILL, the answer is dropped. This process itself is never signalled.
    """

    kind = "kill"
    pid: int | None = None
    """None: the process that made the call."""
    signal: int = signal.SIGKILL


@dataclass(frozen=True)
class Invoke(Act):
    """A function of the test is called, in a thread of its own; a `Status` that it returns is the answer to the call."""

    kind = "call"
    callback: Callable[[MetCall], Status | None]
    after: bool = False
    """After the API server has done the call, before the answer is delivered."""


_ACTS: dict[str, type[Act]] = {
    act.kind: act
    for act in (
        Delay,
        Status,
        DropBefore,
        DropAfter,
        ShiftDate,
        CutWatch,
        StallWatch,
        SkipEvent,
        WatchError,
        Kill,
        Invoke,
    )
}


@dataclass(frozen=True)
class Rule:
    """When, and what."""

    match: Match = field(default_factory=Match)
    act: Act = field(default_factory=DropBefore)

    @property
    def is_of_events(self) -> bool:
        """Whether it meets events, not calls."""
        return self.match.event is not None or isinstance(self.act, SkipEvent)

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON. Raises RuleError if it calls a function."""
        if isinstance(self.act, Invoke):
            raise RuleError("a rule that calls a function cannot be written as JSON")
        match = {name: value for name, value in asdict(self.match).items() if value is not None}
        act = {setting.name: getattr(self.act, setting.name) for setting in fields(self.act)}
        return {"match": match, "act": {"kind": self.act.kind} | {k: v for k, v in act.items() if v is not None}}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Rule:
        """Return the rule that stands in JSON. Raises RuleError with what is wrong."""
        if unknown := sorted(document.keys() - {"match", "act"}):
            raise RuleError(f"a rule has match and act, not {', '.join(unknown)}")
        settings = dict(document.get("act") or {})
        kind = settings.pop("kind", None)
        if kind not in _ACTS or kind == Invoke.kind:
            raise RuleError(f"act.kind: {kind!r} is none of {', '.join(sorted(_ACTS.keys() - {Invoke.kind}))}")
        try:
            return cls(Match(**document.get("match") or {}), _ACTS[kind](**settings))
        except TypeError as error:
            raise RuleError(f"rule of kind {kind}: {error}") from None
