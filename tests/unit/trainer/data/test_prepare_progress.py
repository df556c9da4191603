"""How far `prepare` is, and how long the rest may take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tuneloop_trainer.data import prepare_progress
from tuneloop_trainer.data.prepare_progress import PrepareProgress


def test_the_rest_takes_as_long_as_what_is_done_did(monkeypatch):
    now, posts = [1000.0], []
    monkeypatch.setattr(prepare_progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    progress = PrepareProgress(SimpleNamespace(post=lambda **fields: posts.append(tuple(fields.values()))))
    with progress.part("reading", until=0.4) as done:
        now[0] += 10.0
        done(0.25)
        now[0] += 30.0
    with progress.part("writing", until=1.0) as done:
        now[0] += 60.0
        done(0.5)
    assert posts == [("reading", 0.0, None), ("reading", 0.1, 90), ("writing", 0.4, 60), ("writing", 0.7, 42)]
    assert progress.seconds == {"reading": 40.0, "writing": 60.0}


def test_a_part_that_fails_has_no_time():
    progress = PrepareProgress(SimpleNamespace(post=lambda **_: None))
    with pytest.raises(KeyError), progress.part("reading", until=0.4):
        raise KeyError
    assert progress.seconds == {}
