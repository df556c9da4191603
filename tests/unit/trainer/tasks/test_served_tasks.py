"""What can be trained can be served, and servers project what the reference is made of."""

from __future__ import annotations

import pytest

from tuneloop_server.tasks import TASKS as SERVED
from tuneloop_trainer.tasks import TASKS as TRAINED


def test_the_server_has_every_task_of_the_trainer():
    assert set(TRAINED) == set(SERVED)


@pytest.mark.parametrize("name", [name for name, task in TRAINED.items() if not task.has_new_head])
def test_where_sums_are_kept_of_rows_there_are_no_logits_to_project_by(name):
    assert not TRAINED[name].features.has_projections
