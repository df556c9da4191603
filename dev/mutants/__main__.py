"""Tries changes and prints the score of each package and the changes that no test noticed: `python -m mutants [PACKAGE…] [--full] [--known]`."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from mutants.changes import candidates, is_valid
from mutants.copies import Copy, Run
from mutants.known import known_changes
from mutants.packages import PACKAGES, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutants.changes import Change
    from mutants.reach import Reach

_LEAST_SECONDS = 60


@dataclass(frozen=True)
class Mutant:
    """A changed file."""

    package: str
    file: Path
    line: int
    title: str
    source: str


@dataclass(frozen=True)
class Trial:
    """The result of the tests on a mutant."""

    mutant: Mutant
    run: Run

    @property
    def is_killed(self) -> bool:
        return not self.run.is_green


class Killers:
    """The test files that noticed changes: those that did so last are run first."""

    def __init__(self) -> None:
        self._files: list[str] = []

    def note(self, run: Run) -> None:
        if file := run.failed.split("::")[0]:
            self._files = [file, *(known for known in self._files if known != file)]

    def first(self) -> list[str]:
        return self._files[:3]


def main() -> int:
    """Return 0, or 1 if the tests fail without a change, or if a known change lives or is out of date."""
    options = _options()
    outdated: list[str] = []
    mutants = list(_known(options.packages, options.only, outdated) if options.known else _sampled(options))
    by_package = defaultdict(list)
    for mutant in mutants:
        by_package[mutant.package].append(mutant)
    trials: list[Trial] = []
    for name in sorted(by_package, key=list(PACKAGES).index):
        trials += _tried(name, by_package[name], options)
    _print_summary(trials)
    return int(bool(outdated) or (options.known and not all(trial.is_killed for trial in trials)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", help=f"of {', '.join(PACKAGES)}; all if none is given")
    parser.add_argument("--full", action="store_true", help="try every change, not a sample")
    parser.add_argument("--known", action="store_true", help="try the changes of known.toml instead")
    parser.add_argument("--only", nargs="*", default=[], help="ids of known.toml")
    parser.add_argument("--sample", type=int, default=40, help="changes of each package")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", nargs="*", default=[], help="run these instead of those that belong to the package")
    parser.add_argument("--file", default="", help="only files whose path contains this")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if unknown := [name for name in options.packages if name not in PACKAGES]:
        parser.error(f"no such package: {', '.join(unknown)}; there are {', '.join(PACKAGES)}")
    return options


def _known(packages: list[str], only: list[str], outdated: list[str]) -> Iterator[Mutant]:
    """Yield the known changes. The ids of those that cannot be made any more are added to `outdated`."""
    for row in known_changes():
        if (packages and row.package not in packages) or (only and row.id not in only):
            continue
        file = Path(row.file)
        try:
            source = row.apply((ROOT / file).read_text())
        except (LookupError, FileNotFoundError) as error:
            print(f"out of date: {row.id}: {error}")
            outdated.append(row.id)
            continue
        yield Mutant(row.package, file, row.line, f"{row.id}: {_shown(row.code)} → {_shown(row.changed)}", source)


def _sampled(options: argparse.Namespace) -> Iterator[Mutant]:
    for name in options.packages or PACKAGES:
        found = [
            (file, change)
            for file in PACKAGES[name].files()
            if options.file in str(file)
            for change in candidates((ROOT / file).read_text())
        ]
        random.Random(options.seed).shuffle(found)
        mutants = (mutant for file, change in found if is_valid((mutant := _mutant(name, file, change)).source))
        yield from mutants if options.full else islice(mutants, options.sample)


def _mutant(package: str, file: Path, change: Change) -> Mutant:
    source = (ROOT / file).read_text()
    line = source.splitlines()[change.line - 1].strip()
    title = f"{_shown(change.old)} → {_shown(change.new)}   in: {_shown(line)}"
    return Mutant(package, file, change.line, title, change.apply(source))


def _shown(code: str) -> str:
    text = " ".join(code.split())
    return text if len(text) <= 100 else f"{text[:100]}…"


def _tried(name: str, mutants: list[Mutant], options: argparse.Namespace) -> list[Trial]:
    """Run the tests of a package on each of its mutants, on as many copies as there are workers."""
    package, killers, workers = PACKAGES[name], Killers(), options.workers
    if options.tests:
        package = replace(package, tests=tuple(options.tests))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(min(workers, len(mutants))):
            copies.put(stack.enter_context(Copy(ROOT, folder / str(number), package)))
        reach = _baseline(name, copies)

        def tried(mutant: Mutant) -> Trial:
            copy = copies.get()
            try:
                trial = _trial(mutant, copy, reach, first=killers.first())
            finally:
                copies.put(copy)
            killers.note(trial.run)
            if options.known or not trial.is_killed:
                print(_line(trial), flush=True)
            return trial

        with ThreadPoolExecutor(max_workers=workers) as pool:
            return list(pool.map(tried, mutants))


def _baseline(name: str, copies: SimpleQueue[Copy]) -> Reach:
    """Run the tests of each copy without a change, and return which functions each of them calls."""

    def reach_of(copy: Copy) -> Reach:
        run = copy.collect()
        if not run.is_green:
            sys.exit(f"{name}: the tests fail without a change: {run.failed}\n{copy.log()[-3000:]}")
        print(f"\n{name}: {len((reach := copy.reach()).seconds)} tests take {run.seconds:.0f} s", flush=True)
        return reach

    everyone = [copies.get() for _ in range(copies.qsize())]
    with ThreadPoolExecutor(max_workers=len(everyone)) as pool:
        reaches = list(pool.map(reach_of, everyone))
    for copy in everyone:
        copies.put(copy)
    return reaches[0]


def _trial(mutant: Mutant, copy: Copy, reach: Reach, *, first: list[str]) -> Trial:
    original = (ROOT / mutant.file).read_text()
    tests = reach.tests_of(mutant.file, mutant.line, source=original, first=first)
    if not tests:
        return Trial(mutant, Run(code=0, seconds=0.0, failed=""))
    seconds = _LEAST_SECONDS + 4 * sum(reach.seconds[test] for test in tests)
    is_swappable = reach.is_called_late(mutant.file, mutant.line, source=original)
    return Trial(
        mutant, copy.run(tests, seconds=seconds, file=mutant.file, source=mutant.source, is_swappable=is_swappable)
    )


def _line(trial: Trial) -> str:
    mutant = trial.mutant
    fate = f"killed by {trial.run.failed or 'a crash or the time limit'}" if trial.is_killed else "ALIVE"
    return f"{mutant.file}:{mutant.line}: {mutant.title}   {fate} ({trial.run.seconds:.0f} s)"


def _print_summary(trials: list[Trial]) -> None:
    print(f"\n{'package':<16}{'changes':>9}{'killed':>8}{'score':>8}")
    by_package = defaultdict(list)
    for trial in trials:
        by_package[trial.mutant.package].append(trial.is_killed)
    for name, killed in by_package.items():
        print(f"{name:<16}{len(killed):>9}{sum(killed):>8}{sum(killed) / len(killed):>8.0%}")


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    sys.exit(code)
