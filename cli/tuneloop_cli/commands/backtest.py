"""`backtest`: what the triggers of a manifest would have said of the past that Prometheus has kept."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.text_formats import DURATION, SERVED_REVISION
from tuneloop_cli.backtest.history import HistoryDoor
from tuneloop_cli.backtest.manifest import watched_in
from tuneloop_cli.backtest.range_answer import UnreadableHistoryError
from tuneloop_cli.backtest.replay import Past, replayed
from tuneloop_cli.backtest.report import as_json, as_lines
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.prometheus.local_prometheus import LocalPrometheus
from tuneloop_cli.local.prometheus.stored_dump import store_dump
from tuneloop_cli.terminal import complain, say, show_progress
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import STALE, About
from tuneloop_operator.decide.model_deployment.retraining.triggers.judge import KINDS, queries_of
from tuneloop_operator.decide.model_deployment.retraining.triggers.new_data import labels_query
from tuneloop_operator.prometheus.address import checked_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_cli.backtest.manifest import Watched
    from tuneloop_cli.backtest.range_answer import History

LONGEST_STEP = int(STALE)
"""Seconds. Between two looks that are farther apart nobody knows the numbers of a query."""
_LABELS_WINDOW = 900
"""Seconds over which labels are counted. A scrape may come once a minute, and an increase needs two."""
_REVISION = re.compile(SERVED_REVISION.pattern)
_NO_REVISION = (
    "Prometheus has no tuneloop_revision_info of {name} in this time, so nobody knows which revision was stable; give "
    "--revision HASH, for example --revision 7d1f0b2c"
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for."""

    prometheus: str
    """Address; empty: `dump`."""
    dump: Path | None
    begin: int
    """Unix seconds, as `end`."""
    end: int
    step: int
    revision: str
    """Stable revision of the whole time; empty: as the operator reported it."""
    json: bool


def backtest(
    manifest: Path,
    *,
    prometheus: str,
    dump: Path | None,
    begin: str,
    end: str,
    step: str,
    revision: str,
    as_json: bool,
) -> None:
    """Replay the triggers of a manifest and print what they would have said. Raises TuneloopExit."""
    watched = watched_in(manifest)
    now = datetime.now(tz=UTC).replace(microsecond=0)
    options = Options(
        prometheus=_address(prometheus, dump),
        dump=dump,
        begin=_time("--from", begin, now=now),
        end=_time("--to", end, now=now),
        step=_step(step),
        revision=_revision(revision),
        json=as_json,
    )
    if options.begin >= options.end:
        raise TuneloopExit(Exit.BAD_INPUT, f"--from {begin} must be before --to {end}; for example --from 30d --to 0s")
    try:
        asyncio.run(_replay(watched, options))
    except UnreadableHistoryError as error:
        raise TuneloopExit(Exit.FAILED, f"Prometheus: {error}") from error


async def _replay(watched: Watched, options: Options) -> None:
    async with AsyncExitStack() as stack:
        address = options.prometheus or await _from_dump(options, stack)
        progress = _Progress()
        door = await stack.enter_async_context(
            HistoryDoor(address, begin=options.begin, end=options.end, step=options.step, on_part=progress.part)
        )
        past = await _past(watched, options, door, progress)
        found = replayed(watched, past, on_look=partial(progress.look, past))
    show_progress("")
    if options.json:
        say(json.dumps(as_json(watched, past, found), indent=2))
    else:
        for line in as_lines(watched, past, found):
            say(line)


async def _from_dump(options: Options, stack: AsyncExitStack) -> str:
    assert options.dump is not None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tuneloop-backtest-")))
    await asyncio.to_thread(store_dump, options.dump.resolve(), folder)
    prometheus = LocalPrometheus(folder, say=complain, keeps_all=True)
    return (await stack.enter_async_context(prometheus)).url


async def _past(watched: Watched, options: Options, door: HistoryDoor, progress: _Progress) -> Past:
    """Return what Prometheus kept for these triggers. Raises UnreadableHistoryError, TuneloopExit."""
    needs_revision = any(KINDS[trigger.type].is_of_revision for trigger in watched.triggers)
    if options.revision or not needs_revision:
        revisions = {options.begin: options.revision}
    else:
        revisions = await door.stable_revisions(watched.namespace, watched.name)
        if not revisions:
            raise TuneloopExit(Exit.BAD_INPUT, _NO_REVISION.format(name=f"{watched.namespace}/{watched.name}"))
    wanted = [*_wanted(watched, sorted({*revisions.values()}), options)]
    progress.begin(len(wanted) * door.parts)
    answers: dict[tuple[str, str, str], History] = {}
    for key, query in wanted:
        answers[key] = await door.ask(query)
    return Past(begin=options.begin, end=options.end, step=options.step, revisions=revisions, answers=answers)


def _wanted(watched: Watched, revisions: list[str], options: Options) -> Iterator[tuple[tuple[str, str, str], str]]:
    """Yield trigger, part and revision of each query, and its text."""
    begin = datetime.fromtimestamp(options.begin, tz=UTC)
    for trigger in watched.triggers:
        for revision in revisions if KINDS[trigger.type].is_of_revision else [""]:
            about = About(namespace=watched.namespace, deployment=watched.name, revision=revision, cutoff=begin)
            for part, text in _texts(trigger, about, begin, step=options.step):
                yield (trigger.name, part, revision), text


def _texts(trigger: Trigger, about: About, begin: datetime, *, step: int) -> Iterator[tuple[str, str]]:
    if (
        trigger.type == "newData"
    ):  # how far back the operator looks changes with each run, so labels of each step are added up
        query = labels_query(trigger, about, seconds=_LABELS_WINDOW)
        yield query.part, f"{query.query} * {step / _LABELS_WINDOW}"
        return
    for query in queries_of(trigger, about, now=begin):
        yield query.part, query.query


def _address(prometheus: str, dump: Path | None) -> str:
    if bool(prometheus) == (dump is not None):
        raise TuneloopExit(Exit.BAD_INPUT, "exactly one of --prometheus and --file must be given; for example --prometheus http://127.0.0.1:9090")  # fmt: skip
    if dump is not None:
        if not dump.is_file():
            raise TuneloopExit(Exit.BAD_INPUT, f"--file {dump}: no such file")
        return ""
    try:
        return checked_address(prometheus)
    except ValueError as error:
        raise TuneloopExit(Exit.BAD_INPUT, f"--prometheus {prometheus}: {error}") from error


def _time(option: str, text: str, *, now: datetime) -> int:
    """Return a time in Unix seconds: RFC 3339, or how long ago."""
    if re.match(DURATION.pattern, text):
        return int((now - timedelta(seconds=seconds(text))).timestamp())
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise TuneloopExit(
            Exit.BAD_INPUT,
            f"{option} {text}: must be a time with its zone, or how long ago; for example 2026-11-01T00:00:00Z or 30d",
        )
    return int(found.timestamp())


def _step(text: str) -> int:
    found = seconds(text) if re.match(DURATION.pattern, text) else 0
    if not 1 <= found <= LONGEST_STEP:
        raise TuneloopExit(
            Exit.BAD_INPUT, f"--step {text}: must be a duration of 1s to {LONGEST_STEP // 60}m; for example 1m"
        )
    return found


def _revision(text: str) -> str:
    if text and not _REVISION.fullmatch(text):
        raise TuneloopExit(Exit.BAD_INPUT, f"--revision {text}: {SERVED_REVISION.message}")
    return text


class _Progress:
    """How far the replay is."""

    def __init__(self) -> None:
        self._parts = 0
        self._done = 0

    def begin(self, parts: int) -> None:
        """So many parts of answers are wanted."""
        self._parts, self._done = parts, 0

    def part(self) -> None:
        """A part of an answer is there."""
        self._done += 1
        if self._parts:
            show_progress(f"asking Prometheus: {self._done} of {self._parts}")

    def look(self, past: Past, time: int) -> None:
        """A look was taken. One in a hundred is shown."""
        number, looks = (time - past.begin) // past.step, len(past.times)
        if number % max(1, looks // 100) == 0:
            show_progress(f"looking: {number / looks:.0%}")
