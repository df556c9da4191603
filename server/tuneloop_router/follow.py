"""Follows the operator: ask, apply, and report by asking again. Whatever goes wrong, requests go on as before.

A split is reported as in force once this router has found a server for it: the operator, who knows earlier of a server that is ready, leads requests here.
"""

from __future__ import annotations

import json
import random
import time
import traceback
from typing import TYPE_CHECKING

from tuneloop_router.errors import BadMessage, Refused, Unreachable
from tuneloop_router.log import say
from tuneloop_router.operator_link import Refusal, ask
from tuneloop_router.split import Split, check_successor

if TYPE_CHECKING:
    from tuneloop_router.configuration import Configuration
    from tuneloop_router.settings import Operator

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Follower:
    """Takes what the operator wants. Runs in a thread of its own."""

    def __init__(self, operator: Operator | None, configuration: Configuration) -> None:
        self._operator, self._configuration = operator, configuration
        self._in_force = 0
        """The generation that is reported."""
        self._is_started = False
        """Whether Envoy runs some split."""
        self._refusal: Refusal | None = None
        self._problem = ""

    def run(self) -> None:
        """Follow until the process ends. Without an operator, only see to the start."""
        self._start()
        pause = _FIRST_PAUSE
        while self._operator is not None:
            if self._try_step(self._operator):
                pause = _FIRST_PAUSE
            else:
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (so that routers do not ask together)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _try_step(self, operator: Operator) -> bool:
        try:
            return self._step(operator)
        except Exception:  # noqa: BLE001  (a mistake of ours must not end the following for good)
            say(traceback.format_exc())
            return False

    def _step(self, operator: Operator) -> bool:
        """Ask once, and use the answer. Return False if the next time should come later."""
        self._look_for_servers()
        self._configuration.drop_old_clusters()
        try:
            answered = self._configuration.answered() if self._in_force else None
            document = ask(operator, in_force=self._in_force, refusal=self._refusal, answered=answered)
        except Unreachable as error:
            self._report(f"{error}; requests go on with generation {self._configuration.split.generation}")
            return False
        self._report("")
        return document is None or self._use(document)

    def _start(self) -> None:
        try:
            self._configuration.wait_for_start()
            self._is_started = True
        except Refused as error:
            self._refuse(self._configuration.split.generation, error)

    def _use(self, document: bytes) -> bool:
        try:
            split = Split.parse(document)
            if split == self._configuration.split:
                return False  # it is followed already, and has no server yet
            check_successor(split, of=self._configuration.split)
            self._configuration.apply(split)
        except (BadMessage, Refused, OSError) as error:  # OSError: a file cannot be written
            self._refuse(generation_of(document), error)
            return False
        self._is_started, self._refusal = True, None
        self._look_for_servers()
        return True

    def _look_for_servers(self) -> None:
        generation = self._configuration.split.generation
        if self._is_started and self._in_force != generation and self._configuration.has_servers():
            self._in_force = generation
            say(f"generation {generation} is in force")

    def _refuse(self, generation: int, error: Exception) -> None:
        refusal = Refusal(generation, str(error))
        if refusal != self._refusal:
            say(f"generation {generation} is refused: {error}")
        self._refusal = refusal

    def _report(self, problem: str) -> None:
        """Write down that the operator cannot be reached, or can again: once, not at each poll."""
        if problem != self._problem:
            say(problem or "the operator is followed again")
        self._problem = problem


def generation_of(document: bytes) -> int:
    """Return the generation of a document that cannot be used; 0 if it has none."""
    try:
        generation = json.loads(document)["generation"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    return generation if isinstance(generation, int) and not isinstance(generation, bool) and generation > 0 else 0
