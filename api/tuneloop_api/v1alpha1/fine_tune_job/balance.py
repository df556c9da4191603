"""How a FineTuneJob's loss treats classes of which some have far fewer rows than others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.wire.model import SpecModel


class Balance(SpecModel):
    """What rare classes and hard targets count in the loss. Metrics and validation losses stay as they are: every row counts once."""

    class_weights: Literal["none", "balanced", "effective-number"] | None = None
    """How much more a target of a rare class counts: `balanced` all classes alike, `effective-number` much the same, but for classes of thousands of targets. Several labels
    have weights of their own for rows with and without the label. Default: `none`."""
    focal_gamma: Annotated[float, Field(ge=0, le=10)] | None = None
    """Power by which targets that the model has right already count less (focal loss), 0 to 10. Not together with `training.labelSmoothing`. Default: 0, all count alike.
    For example `2`."""
