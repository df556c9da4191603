"""Token classification: the tagged tokens of a text, or the entities that they form.

`parameters`: `{"aggregation_strategy": "none" | "simple" | "first" | "average" | "max", "ignore_labels": [str, …], "stride": int}`.
`none` answers `[{"entity", "score", "index", "word", "start", "end"}, …]`, one object for each token; the other strategies answer
`[{"entity_group", "score", "word", "start", "end"}, …]`. `start` and `end` count the characters (Unicode code points) of the text as it was sent.
A long text is cut, or with `stride` read in windows that share so many tokens.
Source: https://huggingface.co/docs/inference-providers/tasks/token-classification, and what `pipeline("token-classification")` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tuneloop_api.features.text_classification import entropy_ratio
from tuneloop_api.features.token_classification import OUTSIDE, TOKEN_CLASSIFICATION_FEATURES, word_values
from tuneloop_server.answers.token_classification import TOKEN_CLASSIFICATION_ANSWERS
from tuneloop_server.fields import check_known, choice, whole_number, wrong
from tuneloop_server.tasks.entities import (
    grouped,
    tagged_tokens,
    tagged_words,
    tokens_of,
    without_overlaps,
)
from tuneloop_server.tasks.task import Answer, Prediction, Task
from tuneloop_server.tasks.words import first_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneloop_api.features.task_features import Values
    from tuneloop_server.model import Window
    from tuneloop_server.tasks.entities import Entity, Tagged, Token
    from tuneloop_server.tasks.task import ModelFacts

_STRATEGIES = ("simple", "first", "average", "max", "none")


@dataclass(frozen=True, kw_only=True)
class TokenClassificationParameters:
    """How tokens become entities, which entities a client does not want, and how a long text is read."""

    aggregation_strategy: str = "simple"
    """The default of Hugging Face's Inference API; that of the pipeline is `none`."""
    ignore_labels: tuple[str, ...] = (OUTSIDE,)
    """Tags (strategy `none`) or entity types that are left out."""
    stride: int | None = None


def read_parameters(given: Mapping[str, object]) -> TokenClassificationParameters:
    """Return the parameters. Raises RequestError naming the field that is wrong."""
    check_known(given, ("aggregation_strategy", "ignore_labels", "stride"), prefix="parameters.")
    strategy = choice("parameters.aggregation_strategy", given.get("aggregation_strategy", "simple"), _STRATEGIES)
    stride: int | None = None
    if "stride" in given:
        expected = "expected a whole number from 0, or null to cut long texts; for example 16"
        stride = whole_number("parameters.stride", given["stride"], least=0, expected=expected)
        if strategy == "none":
            allowed = "allowed is an aggregation_strategy other than none"
            raise wrong("parameters.stride", stride, f'{allowed}; for example {{"aggregation_strategy": "simple"}}')
    return TokenClassificationParameters(
        aggregation_strategy=strategy,
        ignore_labels=_ignore_labels(given.get("ignore_labels", [OUTSIDE])),
        stride=stride,
    )


def answer(
    text: str, windows: Sequence[Window], parameters: TokenClassificationParameters, facts: ModelFacts
) -> Answer:
    """Return the tokens or entities of a text. The predictions are the entities of strategy `simple`, whatever the client asked for."""
    tokens = [tokens_of(text, window, temperature=facts.temperature, vocabulary=facts.vocabulary) for window in windows]
    tagged = _tagged(tokens, _COUNTED, facts)
    counted = _entities(tagged, _COUNTED, facts)
    if parameters.aggregation_strategy == "none":
        value = [element for part in tokens for element in _token_elements(part, parameters, facts.labels)]
    else:
        shared = (parameters.aggregation_strategy, parameters.ignore_labels) == ("simple", (OUTSIDE,))
        entities = counted if shared else _entities(_tagged(tokens, parameters, facts), parameters, facts)
        value = [_entity_element(entity) for entity in entities]
    return Answer(
        value=value,
        predictions=[_prediction(entity) for entity in counted],
        features=partial(_features, text, tagged[0], facts.labels),
    )


def _ignore_labels(given: object) -> tuple[str, ...]:
    if isinstance(given, list) and all(isinstance(label, str) for label in given):
        return tuple(given)
    raise wrong("parameters.ignore_labels", given, 'expected a list of strings; for example ["O"]')


def _token_elements(
    tokens: Sequence[Token], parameters: TokenClassificationParameters, labels: Sequence[str]
) -> list[dict[str, object]]:
    return [
        {
            "entity": labels[tagged.label],
            "score": tagged.score,
            "index": tagged.tokens[0].index,
            "word": tagged.word,
            "start": tagged.start,
            "end": tagged.end,
        }
        for tagged in tagged_tokens(tokens)
        if labels[tagged.label] not in parameters.ignore_labels
    ]


def _entity_element(entity: Entity) -> dict[str, object]:
    return {
        "entity_group": entity.type,
        "score": entity.score,
        "word": entity.word,
        "start": entity.start,
        "end": entity.end,
    }


def _tagged(
    windows: Sequence[Sequence[Token]], parameters: TokenClassificationParameters, facts: ModelFacts
) -> list[list[Tagged]]:
    strategy, vocabulary = parameters.aggregation_strategy, facts.vocabulary
    return [
        tagged_tokens(tokens) if strategy == "simple" else tagged_words(tokens, vocabulary, strategy=strategy)
        for tokens in windows
    ]


def _entities(
    windows: Sequence[Sequence[Tagged]], parameters: TokenClassificationParameters, facts: ModelFacts
) -> list[Entity]:
    entities = [entity for tagged in windows for entity in grouped(tagged, facts.labels, facts.vocabulary)]
    wanted = [entity for entity in entities if entity.type not in parameters.ignore_labels]
    return without_overlaps(wanted) if len(windows) > 1 else wanted


def _prediction(entity: Entity) -> Prediction:
    """Return the prediction of an entity. Its calibrated confidence and its entropy are means over its tokens."""
    tokens = entity.tokens
    return Prediction(
        label=entity.type,
        confidence=entity.score,
        calibrated_confidence=sum(token.calibrated_confidence for token in tokens) / len(tokens),
        entropy=sum(entropy_ratio(token.scores.tolist()) for token in tokens) / len(tokens),
    )


def _features(text: str, tokens: Sequence[Tagged], labels: Sequence[str]) -> Values:
    """Return what `TOKEN_CLASSIFICATION_FEATURES.values` does of the words' logits: their softmax is at hand. tokens: of the first window."""
    words = [tokens[index] for index in first_tokens(text, [(token.start, token.end) for token in tokens])]
    return word_values([word.label for word in words], [word.score for word in words], labels)


_COUNTED = TokenClassificationParameters()
"""How the entities are found that the metrics count."""

TOKEN_CLASSIFICATION = Task(
    name="token-classification",
    auto_class="AutoModelForTokenClassification",
    needs_offsets=True,
    read_parameters=read_parameters,
    stride=lambda parameters: parameters.stride,
    answer=answer,
    features=TOKEN_CLASSIFICATION_FEATURES,
    answer_format=TOKEN_CLASSIFICATION_ANSWERS,
)
