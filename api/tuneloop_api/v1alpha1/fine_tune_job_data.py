"""The first half of a FineTuneJob's spec: the model to start from, and the rows to learn from and to measure on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tuneloop_api.model import WireModel
from tuneloop_api.rules import Rule, applies_only
from tuneloop_api.v1alpha1.common import (
    ShortText,
    Uri,
)

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ClassName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


class ModelSource(WireModel):
    """The pre-trained model to start from."""

    uri: Uri
    """Where the model is: `hf://ORG/NAME`, `pvc://CLAIM/PATH`, or `file:///PATH` (local mode only). Weights must be safetensors."""
    revision: ShortText | None = None
    """Branch, tag or commit of a hub model. Default: `main`; the commit it meant is recorded in `status.lineage`."""
    labels: Annotated[list[ClassName], Field(min_length=2, max_length=1000)] | None = None
    """The classes in the order of their ids. Default: the distinct labels of the data, sorted."""


class Columns(WireModel):
    """Which columns of a source hold what."""

    text: ColumnName | None = None
    """Column of the text. Default: `text`."""
    label: ColumnName | None = None
    """Column of the label, or of the number that `labelRule` turns into one. Default: `label`."""


class LabelRule(WireModel):
    """Turns a number into one of two classes."""

    above: float
    """Numbers greater than this get the second name, all others the first."""
    names: Annotated[list[ClassName], Field(min_length=2, max_length=2)]
    """The two classes: at or below, above. For example `[negative, positive]`."""
    drop_within: Annotated[float, Field(ge=0)] | None = None
    """Rows whose number is closer to `above` than this are left out: they are too ambiguous to learn from."""

    rules = (
        Rule(
            field="names",
            message="must be two different names",
            cel="self.names[0] != self.names[1]",
            holds=lambda rule: rule.names[0] != rule.names[1],
        ),
    )


class Source(WireModel):
    """Rows from one file, one folder of files, or one saved data set."""

    uri: Uri
    """A `.csv`, `.tsv`, `.jsonl` or `.parquet` file, a folder of such files, or a folder written by `datasets.save_to_disk`."""
    split: ShortText | None = None
    """Split to read where the folder holds several. Default: `train`."""
    columns: Columns | None = None
    """Column names, where they differ from `text` and `label`."""
    label_rule: LabelRule | None = None
    """How a number becomes a label. Default: the label column is the label."""
    limit: Count | None = None
    """Read at most this many rows, from the start."""


class RowValidation(WireModel):
    """What to do with rows that cannot be used."""

    max_bad_fraction: Fraction | None = None
    """Largest tolerated fraction of bad rows (no text, no label, wrong type, unknown class). Default: 0, any bad row is refused."""
    samples: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many bad rows the data report shows. Default: 20."""


class Split(WireModel):
    """How rows are divided when `validation` or `test` is not given."""

    validation: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of the rows for choosing checkpoints and thresholds. Default: 0.1."""
    test: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of the rows for the final measurement. Default: 0.1."""
    method: Literal["hash", "random"] | None = None
    """`hash`: by the row's own content, so that a row never changes side when data is added (not stratified). `random`: by the seed. Default: `hash`."""
    stratify: bool | None = None
    """Keep the class proportions in every split. Only for `random`. Default: true there."""
    group_by: ColumnName | None = None
    """Rows with the same value in this column stay on one side, so that related rows do not leak."""
    seed: Seed | None = None
    """Seed of the division. Default: 42."""

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


class Deduplicate(WireModel):
    """Which repeated rows are removed."""

    exact: bool | None = None
    """Keep only the first of rows with the same text (case, Unicode form and white space aside). Default: true."""
    across_splits: bool | None = None
    """Also remove rows of the training split whose text stands in validation or test. Default: true."""


class Data(WireModel):
    """The rows to learn from and to measure on."""

    train: Annotated[list[Source], Field(min_length=1, max_length=64)]
    """Sources of the training split; validation and test are split off where they are not given."""
    validation: Annotated[list[Source], Field(min_length=1, max_length=64)] | None = None
    """Sources of the validation split."""
    test: Annotated[list[Source], Field(min_length=1, max_length=64)] | None = None
    """Sources of the test split."""
    validate_rows: Annotated[RowValidation | None, Field(alias="validate")] = None
    """What to do with rows that cannot be used."""
    split: Split | None = None
    """How rows are divided when `validation` or `test` is not given."""
    deduplicate: Deduplicate | None = None
    """Which repeated rows are removed."""
    max_tokens: Annotated[int, Field(ge=8, le=1048576)] | None = None
    """Longer texts are cut to this many tokens. Default: the 99.5th percentile of the training texts, at most what the model can read."""
