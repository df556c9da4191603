"""The answers that grow in one batch: which of them go on, and what a token adds to each. It runs on the worker thread of the model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tuneloop_server.errors import RequestError
from tuneloop_server.generation.sampling import NotFinite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_server.generation.answer import Growing, Piece, Prompt
    from tuneloop_server.generation.model import Decoder

_FAILED = "the model failed on this request; the server's log says why"
_DAMAGED = "the model's logits are not finite numbers: its weights are damaged"
_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Row:
    """One answer in the batch: a row of the decoder, or several that change places (`Growing.origins`)."""

    answer: Growing
    held: int = 1
    """Rows of the decoder."""
    is_wanted: bool = True
    """False once it has ended, has failed, or its client has left."""


Grown: TypeAlias = "tuple[Row, list[Piece] | RequestError]"
"""An answer, and what a pass has added to it: nothing, while beams are searched."""


class GrowingRows:
    """The answers of a decoder, in the order of its rows."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._rows: list[Row] = []

    def advance(self, joining: Sequence[Row]) -> list[Grown]:
        """Drop the rows that nobody wants, add a token to each other one, let prompts join; return what each answer got."""
        self._arrange()
        grown = self._stepped() if self._rows else []
        return grown + (self._joined(joining) if joining else [])

    def _arrange(self) -> None:
        """Let the decoder have the rows that the answers go on from, in their order."""
        wanted: list[Row] = []
        places, start = [], 0
        for row in self._rows:
            if row.is_wanted:  # is asked once: its client may leave at any time, on another thread
                wanted.append(row)
                places += [start + origin for origin in row.answer.origins]
            start += row.held
        if places != list(range(start)):
            self._decoder.keep(places)
        self._rows = wanted
        for row in wanted:
            row.held = len(row.answer.origins)

    def _stepped(self) -> list[Grown]:
        try:
            logits = self._decoder.step([token for row in self._rows for token in row.answer.last_tokens])
        except Exception:  # noqa: BLE001  (whatever torch raises: these answers fail, and all others are served)
            _log.exception("the model failed on %d answers that grew together", len(self._rows))
            failed, self._rows = self._rows, []
            self._decoder.keep([])
            return [(row, _failure(row, _FAILED)) for row in failed]
        return self._grown(self._rows, logits)

    def _joined(self, joining: Sequence[Row]) -> list[Grown]:
        """Run a pass over prompts; one that fails is run again for each alone, so that a prompt on which the model fails fails alone."""
        try:
            logits = self._added([row.answer.prompt for row in joining])
        except Exception as error:  # noqa: BLE001  (as above)
            if len(joining) == 1:
                _log.exception("the model failed on a prompt of %d tokens", len(joining[0].answer.prompt.read))
                return [(joining[0], _failure(joining[0], _FAILED))]
            _log.warning("the model failed on %d prompts, each of which is run alone: %s", len(joining), error)
            return [grown for row in joining for grown in self._joined([row])]
        self._rows += joining
        return self._grown(joining, logits)

    def _added(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Return the logits of new rows, [B, V]. Only a decoder with adapters gets prompts of adapters."""
        ids, adapters = [prompt.read for prompt in prompts], [prompt.adapter for prompt in prompts]
        if not any(adapters):
            return self._decoder.add(ids)
        decoder: Any = self._decoder
        logits: NDArray[np.float32] = decoder.add(ids, adapters)
        return logits

    def _grown(self, rows: Sequence[Row], logits: NDArray[np.float32]) -> list[Grown]:
        """logits: [rows of the decoder, V]."""
        ends = np.cumsum([row.held for row in rows])
        return [(row, _grow(row, of_row)) for row, of_row in zip(rows, np.split(logits, ends[:-1]), strict=True)]


def _grow(row: Row, logits: NDArray[np.float32]) -> list[Piece] | RequestError:
    """logits: [rows of the answer, V]."""
    try:
        pieces = row.answer.advance(logits)
    except NotFinite:
        _log.error("%s", _DAMAGED)
        return _failure(row, _DAMAGED)
    if pieces and pieces[-1].finish is not None:
        row.is_wanted = False
    return pieces


def _failure(row: Row, message: str) -> RequestError:
    row.is_wanted = False
    return RequestError(message, status=500, reason="model_error")
