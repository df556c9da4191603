"""The first half of a FineTuneJob's spec: the model to start from, and the rows to learn from and to measure on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import DataUri, Duration, positive_duration
from tuneloop_api.v1alpha1.fine_tune_job.balance import Balance
from tuneloop_api.v1alpha1.fine_tune_job.model_source import ClassName
from tuneloop_api.v1alpha1.fine_tune_job.secret_reference import IN_BUCKET, SecretReference, lies_in_bucket
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only
from tuneloop_api.wire.text_formats import LINE, MOMENT, SPLIT_NAME
from tuneloop_api.wire.uris import FEEDBACK_SCHEME, feedback_deployment

ColumnName = Annotated[str, LINE.text(most=128)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Columns(SpecModel):
    """Which columns of a source hold what."""

    text: ColumnName | None = None
    """Column with the text to classify. Default: `text`. For example `review_body`."""
    label: ColumnName | None = None
    """Column with the label, with the number that `labelRule` turns into a label, with the list of labels (`problemType: multi-label`), or with the number to predict
    (`problemType: regression`). Default: `label`. For example `stars`."""
    tokens: ColumnName | None = None
    """Column with the list of words (CSV and TSV: words with spaces between). Default: `tokens`. For example `words`."""
    tags: ColumnName | None = None
    """Column with the list of their tags, such as `B-PER`. Default: `tags`. For example `ner_tags`."""
    messages: ColumnName | None = None
    """Column with the conversation: a list of objects with `role` (system, user or assistant) and `content`. Default: `messages`. For example `conversation`."""
    prompt: ColumnName | None = None
    """Column with the text that is to be continued. Default: `prompt`. For example `question`."""
    completion: ColumnName | None = None
    """Column with its continuation. Default: `completion`. For example `answer`."""
    source: ColumnName | None = None
    """Column with the text that the model reads. Default: `source`. For example `article`."""
    target: ColumnName | None = None
    """Column with the text that the model is to write. Default: `target`. For example `summary`."""
    context: ColumnName | None = None
    """Column with the text that holds the answer. Default: `context`. For example `paragraph`."""
    question: ColumnName | None = None
    """Column with what is asked about the context, a line of text. Default: `question`. For example `query`."""
    answers: ColumnName | None = None
    """Column with the answers to it: `{"text": [...], "answer_start": [...]}`, empty lists where the context holds none. Default: `answers`. For example `spans`."""


class LabelRule(SpecModel):
    """Turns a number into one of two classes."""

    above: float
    """Rows whose number is greater than this get the second name, all others the first. For example `3`."""
    names: Annotated[list[ClassName], Field(min_length=2, max_length=2)]
    """Names of the two classes: first that of rows at or below `above`, then that of rows over it. They must differ. For example `[negative, positive]`."""
    drop_within: Annotated[float, Field(ge=0)] | None = None
    """Rows whose number is closer to `above` than this are left out. Default: 0, no row is left out. For example `0.5`."""

    rules = (
        Rule(
            field="names",
            message="must be two different names; for example [negative, positive]",
            cel="self.names[0] != self.names[1]",
            holds=lambda rule: rule.names[0] != rule.names[1],
        ),
    )


class Source(SpecModel):
    """Rows from one file, one folder of files, one saved data set, or the feedback of a deployment."""

    uri: DataUri
    """A `.csv`, `.tsv`, `.jsonl`, `.parquet`, (token classification) `.conll`, `.bio` or `.iob`, (question answering) SQuAD `.json` or (format `text`) `.txt` file, a folder of such
    files, or a folder written by `datasets.save_to_disk`: as `pvc://CLAIM/PATH`, as `s3://BUCKET/PATH`, `gs://BUCKET/PATH` or `az://CONTAINER/PATH`, or `file:///PATH` (local mode only; refused in a
    cluster). `feedback://DEPLOYMENT`: what clients have labelled, of this
    source's side of the texts. For example `pvc://models/reviews.csv`."""
    secret_ref: SecretReference | None = None
    """Secret with the credentials of object storage, by the names of variables, such as `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. Only the pod of `prepare` gets
    them; refused for other addresses. Default: the workload identity of the pod. For example `{name: reviews-bucket}`."""
    split: Annotated[str, SPLIT_NAME.text(most=256)] | None = None
    """Split to read from a folder of several: one that `datasets.save_to_disk` wrote, or one whose files name their splits. Default: `train`. For example `test`."""
    columns: Columns | None = None
    """Names of the columns, where they differ from `text` and `label`, or `tokens` and `tags`, or `context`, `question` and `answers`. For example `{text: review_body, label: stars}`."""
    label_rule: LabelRule | None = None
    """How a number, such as a rating, becomes one of two classes. Default: the label column is the label. For example `{above: 3, names: [negative, positive]}`."""
    limit: Count | None = None
    """Number of rows to read at most, from the start of the source. Default: all. For example `1000`."""
    cutoff: Annotated[str, MOMENT.text(most=20)] | None = None
    """Last moment of feedback that counts. Applies only to `feedback://`. Default: when `prepare` begins. For example `2026-11-30T12:00:00Z`."""
    window: Duration | None = None
    """Of feedback, only predictions that were made within so long before `cutoff` are read. Applies only to `feedback://`. Default: all; in `evaluation.compareWith.recent` 7d.
    For example `14d`."""

    rules = (
        positive_duration("window"),
        applies_only(
            "secret_ref",
            to="s3://, gs:// and az:// sources",
            cel=IN_BUCKET,
            holds=lambda source: lies_in_bucket(source.uri),
        ),
    )

    @property
    def is_feedback(self) -> bool:
        """Whether the rows are the feedback of a deployment."""
        return feedback_deployment(self.uri) is not None


class RowValidation(SpecModel):
    """What to do with rows that cannot be used."""

    max_bad_fraction: Fraction | None = None
    """Largest tolerated fraction of bad rows (no text, no label, wrong type, unknown class), from 0 to 1; they are left out, and the job fails if there are more.
    Default: 0, one bad row fails the job. For example `0.01`."""
    samples: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Number of bad rows that the data report shows, 0 to 1000; an error names the first of them and shows their texts masked. Default: 20. For example `100`."""


class Split(SpecModel):
    """How rows are divided when `validation` or `test` is not given."""

    validation: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of the training rows that is set aside for choosing checkpoints and thresholds; refused where `data.validation` gives them. Together with `test` it must
    leave rows to train on. Default: 0.1. For example `0.15`."""
    test: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of the training rows that is set aside for the final measurement; refused where `data.test` gives them. Together with `validation` it must leave rows to
    train on. Default: 0.1. For example `0.2`."""
    method: Literal["hash", "random"] | None = None
    """`hash` divides by the row's own content, so that a row stays on its side when data is added; it is not stratified, but moves a row where a split would have none of a
    class. `random` divides by the seed. Default: `hash`."""
    stratify: bool | None = None
    """Whether every split keeps the proportions of the classes. Applies only to `method: random`, and not together with `groupBy`. Default: true there."""
    group_by: ColumnName | None = None
    """Name of a column: rows with the same value in it stay on one side, so that related rows do not leak from training into the measurement. Default: no column.
    For example `user_id`."""
    seed: Seed | None = None
    """Seed of the division; the same seed and rows give the same splits. Default: 42. For example `7`."""

    rules = (
        applies_only(
            "stratify",
            to="method: random",
            hint="a hash split keeps every row on its side",
            cel="self.?method.orValue('hash') == 'random'",
            holds=lambda split: split.method == "random",
        ),
        Rule(
            field="stratify",
            message="cannot be combined with groupBy; leave one of the two out",
            cel="!(self.?stratify.orValue(false) && has(self.groupBy))",
            holds=lambda split: not (split.stratify and split.group_by is not None),
        ),
        Rule(
            field="validation",
            message="validation and test must leave rows to train on: less than 1 together (each is 0.1 by default)",
            cel="self.?validation.orValue(0.1) + self.?test.orValue(0.1) < 1.0",
            holds=lambda split: (split.validation or 0.1) + (split.test or 0.1) < 1,
        ),
    )


class Deduplicate(SpecModel):
    """Which repeated rows are removed."""

    exact: bool | None = None
    """Whether only the first of rows with the same text is kept (case, Unicode form and white space aside). Default: true."""
    across_splits: bool | None = None
    """Whether rows of the training split are removed whose text stands in validation or test too. With false, such an overlap fails the job. Default: true."""


def _own_source(split: str) -> Rule:
    """Return the rule that a split with sources has no fraction. Where both splits have sources, the rule of `split` as a whole says so."""
    other = "test" if split == "validation" else "validation"

    def holds(data: Any) -> bool:
        asked = data.split is not None and getattr(data.split, split) is not None
        return not asked or getattr(data, split) is None or getattr(data, other) is not None

    return Rule(
        field=f"split.{split}",
        reason="FieldValueForbidden",
        message=f"cannot be combined with data.{split}, which gives these rows; leave one of the two out",
        cel=f"!(has(self.split) && has(self.split.{split}) && has(self.{split})) || has(self.{other})",
        holds=holds,
    )


def feedback_rule(*lists: str, required: str | None = None) -> Rule:
    """Return the rule for what applies to feedback alone, and what never does. lists: names of the lists of sources; required: the one that is always there."""

    def in_list(name: str) -> str:
        found = (
            f"self.{name}.all(s, s.uri.startsWith('{FEEDBACK_SCHEME}')"
            " ? !has(s.columns) && !has(s.labelRule) && !has(s.split) : !has(s.cutoff) && !has(s.window))"
        )
        return found if name == required else f"(!has(self.{name}) || {found})"

    return Rule(
        message="cutoff and window apply only to feedback:// sources, and columns, labelRule and split only to others",
        # each list by its name: the API server cannot bound the cost of `orValue([]).all`
        cel=" && ".join(map(in_list, lists)),
        holds=lambda block: all(_fits_feedback(source) for name in lists for source in getattr(block, name) or ()),
    )


def _fits_feedback(source: Source) -> bool:
    if source.is_feedback:
        return source.columns is None and source.label_rule is None and source.split is None
    return source.cutoff is None and source.window is None


class Data(SpecModel):
    """The rows to learn from and to measure on."""

    train: Annotated[list[Source], Field(min_length=1, max_length=64)]
    """Sources of the rows to train on, 1 to 64; validation and test are split off from them where they are not given. For example `[{uri: pvc://models/reviews.csv}]`."""
    validation: Annotated[list[Source], Field(min_length=1, max_length=64)] | None = None
    """Sources of the rows that choose the best checkpoint, 1 to 64. Default: a fraction of the training rows (`split.validation`).
    For example `[{uri: pvc://models/validation.csv}]`."""
    test: Annotated[list[Source], Field(min_length=1, max_length=64)] | None = None
    """Sources of the rows for the final measurement, 1 to 64; training never sees them. Default: a fraction of the training rows (`split.test`).
    For example `[{uri: pvc://models/test.csv}]`."""
    format: (
        Literal[
            "auto",
            "text-label",
            "text-labels",
            "text-score",
            "tokens-tags",
            "squad",
            "source-target",
            "messages",
            "prompt-completion",
            "text",
        ]
        | None
    ) = None
    """Format of the rows: `text-label` is a text and its class, `text-labels` a text and the list of its labels, `text-score` a text and a number, `tokens-tags` words
    and a tag for each, `squad` a context, a question and its answers, `source-target` a text and the text to write for it, `messages` a conversation, `prompt-completion` a text
    and its continuation, `text` a text alone. The task must be able to learn from it. Default: `auto`, the usual one of the task."""
    validate_rows: Annotated[RowValidation | None, Field(alias="validate")] = None
    """What happens to rows that cannot be used: how many are tolerated, and how many are shown. Default: none is tolerated. For example `{maxBadFraction: 0.01}`."""
    split: Split | None = None
    """How training rows are set aside for the splits that have no source of their own; refused where both `validation` and `test` are given.
    For example `{validation: 0.1, test: 0.2, groupBy: user_id}`."""
    deduplicate: Deduplicate | None = None
    """Which repeated rows are removed before training. Default: all of them. For example `{exact: false}`."""
    max_tokens: Annotated[int, Field(ge=8, le=1048576)] | None = None
    """Number of tokens that a text is cut to, 8 to 1048576; more than the model can read fails the job. Default: the 99.5th percentile of the training texts, at most what
    the model can read; it is shown in `status.resolved`. For example `256`."""
    packing: Literal["auto", "always", "never"] | None = None
    """Whether short rows of a micro-batch share a line: `auto` if a trial shows that the model keeps them apart; `always` fails the job if it does not, and is only for `task: text-generation` and
    `fill-mask`. Default: `auto`."""
    allow_missing_classes: bool | None = None
    """Whether validation and test may have no row of a class. Nothing is measured of such a class, and the best checkpoint may be one that does not know it; the training split
    has rows of every class in any case. Default: false, the job fails and names the class."""
    balance: Balance | None = None
    """What rare classes and hard targets count in the loss. Applies only to `task: text-classification` with classes or labels, and `token-classification`. Default: every target
    counts alike. For example `{classWeights: balanced}`."""

    rules = (
        Rule(
            field="split",
            reason="FieldValueForbidden",
            message="applies only where rows are divided: validation and test both have their own sources; leave split out",
            cel="!(has(self.split) && has(self.validation) && has(self.test))",
            holds=lambda data: data.split is None or data.validation is None or data.test is None,
        ),
        *(_own_source(split) for split in ("validation", "test")),
        feedback_rule("train", "validation", "test", required="train"),
    )
