"""What an answer says, read back from its JSON: one task a file. `ANSWERS` is the table.

The comparator reads the answers of two revisions by it, and has neither torch nor numpy: nothing in this folder imports them. A task of the server
(`tuneloop_server.tasks`) names its entry, so that none is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_server.answers.fill_mask import FILL_MASK_ANSWERS
from tuneloop_server.answers.multi_label_classification import MULTI_LABEL_ANSWERS
from tuneloop_server.answers.question_answering import QUESTION_ANSWERING_ANSWERS
from tuneloop_server.answers.text2text_generation import TEXT2TEXT_ANSWERS
from tuneloop_server.answers.text_classification import TEXT_CLASSIFICATION_ANSWERS
from tuneloop_server.answers.text_generation import TEXT_GENERATION_ANSWERS
from tuneloop_server.answers.text_regression import TEXT_REGRESSION_ANSWERS
from tuneloop_server.answers.token_classification import TOKEN_CLASSIFICATION_ANSWERS

if TYPE_CHECKING:
    from tuneloop_server.answers.answer_format import AnswerFormat

ANSWERS: dict[str, AnswerFormat] = {
    "text-classification": TEXT_CLASSIFICATION_ANSWERS,
    "text-classification/multi-label": MULTI_LABEL_ANSWERS,
    "text-classification/regression": TEXT_REGRESSION_ANSWERS,
    "token-classification": TOKEN_CLASSIFICATION_ANSWERS,
    "question-answering": QUESTION_ANSWERING_ANSWERS,
    "text-generation": TEXT_GENERATION_ANSWERS,
    "text2text-generation": TEXT2TEXT_ANSWERS,
    "fill-mask": FILL_MASK_ANSWERS,
}
"""By the task of the artifact: a Hugging Face task id, and perhaps a problem type."""
