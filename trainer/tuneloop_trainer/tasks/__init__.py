"""What is learned: one task a file, with its model and head, its loss and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.tasks.fill_mask import FILL_MASK
from tuneloop_trainer.tasks.multi_label_classification import MULTI_LABEL_CLASSIFICATION
from tuneloop_trainer.tasks.question_answering import QUESTION_ANSWERING
from tuneloop_trainer.tasks.text2text_generation import TEXT2TEXT_GENERATION
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION
from tuneloop_trainer.tasks.text_generation import TEXT_GENERATION
from tuneloop_trainer.tasks.text_regression import TEXT_REGRESSION
from tuneloop_trainer.tasks.token_classification import TOKEN_CLASSIFICATION

if TYPE_CHECKING:
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        TEXT_CLASSIFICATION,
        MULTI_LABEL_CLASSIFICATION,
        TEXT_REGRESSION,
        TOKEN_CLASSIFICATION,
        QUESTION_ANSWERING,
        TEXT_GENERATION,
        FILL_MASK,
        TEXT2TEXT_GENERATION,
    )
}
"""By `Settings.task_id`."""


def task_of(settings: Settings) -> Task:
    """Return the task of a job, with its options. Raises ConfigError if this trainer does not know it."""
    if settings.task_id not in TASKS:
        raise ConfigError(f"spec.task: {settings.task_id} is not known", hint=f"this trainer knows {', '.join(TASKS)}")
    task = TASKS[settings.task_id]
    return task if task.with_options is None else task.with_options(task, settings)
