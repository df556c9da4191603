"""How long the clusters of a split that was left are kept."""

import pytest

from tuneloop_router.configuration import left_since
from tuneloop_router.split import Split

FIRST, SECOND = (
    Split.parse(
        b'{"generation": %d, "deployment": "reviews", "revisions": [{"name": "a", "host": "h", "port": 1, "weight": 100}]}'
        % generation
    )
    for generation in (1, 2)
)


@pytest.mark.parametrize(
    ("moment", "kept"),
    [(9.0, {10.0: FIRST, 20.0: SECOND}), (10.0, {20.0: SECOND}), (19.0, {20.0: SECOND}), (20.0, {})],
)
def test_what_was_left_long_ago_goes_first(moment, kept):
    assert left_since({10.0: FIRST, 20.0: SECOND}, moment) == kept
