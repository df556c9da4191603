"""What is wrong where a split has no row of a class, and what a person can do about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_trainer.data.formats.labels import alike, median_of_numbers
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.data_settings import DataSettings


@dataclass(frozen=True, kw_only=True)
class MissingClass:
    """A class that a split lacks."""

    split: str
    missing: Sequence[str]
    """All classes that the split lacks; the first is named."""
    classes: Sequence[str]
    """All classes."""
    rows: Sequence[int]
    """Rows of the first one in each of `SPLITS`."""
    left_out: int
    """Rows of the first one that were left out, since their texts repeat others."""
    one_label: bool
    """Each row has one label."""

    def error(self, data: DataSettings) -> DataError:
        """Return the error that names the class, where its rows are, and what to do."""
        spread = ", ".join(f"{count} in {name}" for count, name in zip(self.rows, SPLITS, strict=True))
        others = self.missing[1:]
        more = f" (and {len(others)} more: {', '.join(map(repr, others[:3]))})" if others else ""
        gone = f"; {self.left_out} were left out, since their texts repeat others" if self.left_out else ""
        return DataError(
            f"the class {self.missing[0]!r}{more} has no row in the {self.split} split; it has {sum(self.rows)} in all: {spread}{gone}",
            hint=self._numbers() or self._lookalike() or self._more_rows(data),
        )

    def _numbers(self) -> str | None:
        middle = median_of_numbers(self.classes)
        if middle is None or not self.one_label:
            return None
        rule = f"{{above: {middle:g}, names: [low, high]}}"
        return f"the labels are {len(self.classes)} numbers: make two classes of them with labelRule in the source, for example {rule}"

    def _lookalike(self) -> str | None:
        group = next((group for group in alike(self.classes) if self.missing[0] in group), None)
        if group is None:
            return None
        other = next(label for label in group if label != self.missing[0])
        return f"{self.missing[0]!r} looks like {other!r}: write the class in one way"

    def _more_rows(self, data: DataSettings) -> str:
        given = {"train": data.train, "validation": data.validation, "test": data.test}
        divided = self.split == "train" or given[self.split] is None
        if not divided or (data.validation is not None and data.test is not None):
            return f"add rows of it to data.{self.split}; or {self._allow()}leave the class out"
        # a class of enough texts has a row in every split, unless whole groups or rows of several classes are divided
        can_divide = data.split.group_by is not None or not self.one_label
        divide = "set another data.split.seed; or " if can_divide else ""
        return f"add rows of it; or {divide}{self._allow()}leave the class out"

    def _allow(self) -> str:
        return "" if self.split == "train" else "set data.allowMissingClasses: true (nothing is measured of it); or "
