"""Every kind of ours has a row in each table of the command line."""

from __future__ import annotations

from typing import get_args

import pytest

from tuneloop_cli.commands.get import kind_named
from tuneloop_cli.commands.validate import _CHECKS
from tuneloop_cli.exits import TuneloopExit
from tuneloop_cli.kinds import RESOURCES, CustomKind
from tuneloop_cli.local.kinds.kinds import LOCAL_KINDS
from tuneloop_cli.views.kinds import VIEWS


@pytest.mark.parametrize(
    "rows", [RESOURCES, VIEWS, LOCAL_KINDS, _CHECKS], ids=["resources", "views", "local", "checks"]
)
def test_a_table_has_a_row_for_every_kind(rows) -> None:
    assert tuple(rows) == get_args(CustomKind)


@pytest.mark.parametrize("kind", get_args(CustomKind))
def test_a_kind_is_found_by_each_of_its_words(kind: CustomKind) -> None:
    assert {kind_named(word.upper()) for word in VIEWS[kind].words} == {kind}


def test_no_word_means_two_kinds() -> None:
    words = [word for view in VIEWS.values() for word in view.words]
    assert len(set(words)) == len(words)


def test_an_unknown_word_is_answered_with_the_words_that_are_known() -> None:
    with pytest.raises(TuneloopExit) as refused:
        kind_named("pod")
    assert refused.value.message == "unknown kind 'pod'; known: ftj (FineTuneJob), mdep (ModelDeployment)"
