"""What can be trained can be served, but for the tasks that servers refuse by name."""

from __future__ import annotations

from tuneloop_server.tasks import TASKS as SERVED
from tuneloop_trainer.tasks import TASKS as TRAINED

NOT_SERVED = {"text2text-generation"}


def test_the_server_has_every_task_of_the_trainer():
    assert set(TRAINED) - NOT_SERVED == set(SERVED)
