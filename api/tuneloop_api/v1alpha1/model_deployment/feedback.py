"""Labels that come late: `spec.feedback` of a ModelDeployment."""

from __future__ import annotations

from tuneloop_api.v1alpha1.common import Duration, positive_duration
from tuneloop_api.wire.model import SpecModel

DEFAULT_LABEL_DELAY = "1d"


class FeedbackOptions(SpecModel):
    """Whether predictions go out with a token, with which clients send back the label that was right."""

    enabled: bool | None = None
    """Whether predictions get tokens and labels are counted. The keys are in the Secret `NAME-feedback` of this namespace, under `keys`, one a line: the first signs. Default: true."""
    label_delay: Duration | None = None
    """Time after which most labels of a prediction have come: the labels of a day are compared once the day has been over for so long. Whole numbers with the units d, h, m, s,
    longer than 0s. Default: 1d. For example `12h`."""

    @property
    def is_on(self) -> bool:
        """Whether predictions get tokens."""
        return self.enabled is not False

    rules = (positive_duration("label_delay"),)
