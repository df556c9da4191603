"""What a rank imports before its first step: every restart waits for each second of it."""

from __future__ import annotations

import gc
import subprocess
import sys
from types import SimpleNamespace

import pytest
from run_configs import run_config

from tuneloop_trainer.imports import gc_paused
from tuneloop_trainer.preflight.preflight import Preflight

_SHOW = """
import sys
from tuneloop_trainer.training.rank import import_attempt
import_attempt()
print(*sorted({"deepspeed", "peft", "scipy.optimize", "sklearn"} & set(sys.modules)))
"""


_HEAVY = """
import sys
import tuneloop_trainer.supervisor.supervisor
print(*sorted({"torch", "numpy", "transformers", "deepspeed", "datasets", "psutil"} & set(sys.modules)))
"""


def test_the_supervisor_loads_nothing_heavy():
    shown = subprocess.run([sys.executable, "-c", _HEAVY], capture_output=True, text=True, check=True)

    assert shown.stdout.split() == []


@pytest.mark.timeout(120)
def test_a_rank_loads_deepspeed_and_none_of_the_libraries_that_full_training_does_not_use():
    shown = subprocess.run([sys.executable, "-c", _SHOW], capture_output=True, text=True, check=True)

    assert shown.stdout.split() == ["deepspeed"]


def test_what_was_imported_is_left_out_of_later_collections_also_when_an_import_fails():
    was = gc.get_freeze_count()
    try:
        with pytest.raises(ImportError), gc_paused():
            _fail_without_collections()
        assert gc.isenabled()
        assert gc.get_freeze_count() > was
    finally:
        gc.unfreeze()


def test_a_preflight_builds_its_model_without_collections(monkeypatch, tmp_path):
    """The model is the first thing in `prepare` that imports torch."""
    monkeypatch.setattr("tuneloop_trainer.models.trace.build_without_weights", _fail_without_collections)
    preflight = Preflight(config=run_config(tmp_path), model=SimpleNamespace(path=tmp_path))
    try:
        with pytest.raises(ImportError):
            preflight.shape()
    finally:
        gc.unfreeze()


def _fail_without_collections(*_, **__):
    assert not gc.isenabled()
    raise ImportError
