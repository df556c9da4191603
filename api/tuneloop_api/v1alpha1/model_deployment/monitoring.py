"""What later requests are compared with: `spec.monitoring` of a ModelDeployment."""

from __future__ import annotations

from tuneloop_api.v1alpha1.common import Duration, positive_duration
from tuneloop_api.wire.model import SpecModel

DEFAULT_BASELINE_WINDOW = "1d"


class MonitoringOptions(SpecModel):
    """A baseline: the first requests of a revision that has proven itself, counted by feature."""

    baseline_window: Duration | None = None
    """Time over which the requests of a revision are counted at least, once its baking is over; drift is measured from there. A whole number of days, or of weeks, has each hour of
    the day as often. It goes on until every feature has 200 texts. Whole numbers with the units d, h, m, s, longer than 0s, 14d at most. Default: 1d. For example `7d`."""

    rules = (positive_duration("baseline_window"),)
