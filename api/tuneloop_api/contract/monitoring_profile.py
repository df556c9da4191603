"""`monitoring.json` beside the manifest of an artifact: the bins in which servers count what their model reads and says, and how full they were before.

It holds counts, and no text. `features.bins` says which profiles a server can count with, and `features` what the numbers are.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuneloop_api.wire.model import MessageModel

MONITORING = "monitoring.json"
MOST_LABELS = 50
"""Labels with a bin, or a series, of their own; further ones count as `other`."""
OTHER = "other"


class FeatureProfile(MessageModel):
    """The bins of one feature: of a number, or of a choice. B = number of bins."""

    name: str
    edges: list[float] | None = None
    """Of a number, ascending, [B - 1]. Bin i is edges[i - 1] < value <= edges[i]; the first and the last bin have no end."""
    categories: list[str] | None = None
    """Of a choice: what can be chosen, in the order of the bins."""
    has_other: bool = False
    """Of a choice: there is a last bin, `other`, for all that `categories` does not name."""
    direction: list[float] | None = None
    """Of a projection: what the vector of a text is multiplied by, [H] (`features.text_vectors`)."""
    counts: list[int]
    """Reference rows in each bin, [B]. A row to which a feature does not apply is in none."""


class MonitoringProfile(MessageModel):
    """`monitoring.json`."""

    version: Literal[1] = 1
    task: str
    """Hugging Face task id, as in the manifest."""
    labels: list[str]
    """Class names in the order of their ids, as in the manifest."""
    temperature: float
    """Divide logits by this for calibrated confidence, as in the manifest."""
    split: str
    """Where the reference rows are from."""
    rows: int
    """Reference rows."""
    features: list[FeatureProfile] = Field(default=[])
