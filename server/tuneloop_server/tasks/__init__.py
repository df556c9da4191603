"""What the served model does: one task a file, with its parameters, its response and what the metrics count of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_server.errors import CannotServe
from tuneloop_server.tasks.fill_mask import FILL_MASK
from tuneloop_server.tasks.multi_label_classification import MULTI_LABEL_CLASSIFICATION
from tuneloop_server.tasks.question_answering import QUESTION_ANSWERING
from tuneloop_server.tasks.text2text_generation import TEXT2TEXT_GENERATION
from tuneloop_server.tasks.text_classification import TEXT_CLASSIFICATION
from tuneloop_server.tasks.text_generation import TEXT_GENERATION
from tuneloop_server.tasks.text_regression import TEXT_REGRESSION
from tuneloop_server.tasks.token_classification import TOKEN_CLASSIFICATION

if TYPE_CHECKING:
    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.tasks.task import Task

TASKS: dict[str, Task[Any]] = {
    task.name: task
    for task in (
        TEXT_CLASSIFICATION,
        MULTI_LABEL_CLASSIFICATION,
        TEXT_REGRESSION,
        TOKEN_CLASSIFICATION,
        QUESTION_ANSWERING,
        TEXT_GENERATION,
        TEXT2TEXT_GENERATION,
        FILL_MASK,
    )
}
"""By the task of the artifact: a Hugging Face task id, and perhaps a problem type."""


def task_of(config: ServerConfig, manifest: Manifest) -> Task[Any]:
    """Return the task of an artifact. Raises CannotServe if this server does not know the task."""
    if manifest.task in TASKS:
        return TASKS[manifest.task]
    message = f"{config.artifact_uri}: manifest.json has the task {manifest.task}, allowed are {', '.join(TASKS)}; use a newer server"
    raise CannotServe(message, exit_code=ExitCode.MODEL_ACCESS, failure_class=ServingFailureClass.MODEL_LOAD_FAILED)
