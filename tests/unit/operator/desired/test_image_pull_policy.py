"""Which images are pulled when: what the administrator set, or what the cluster does by itself."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_operator.desired.common.pod import image_of
from tuneloop_operator.settings.operator import OperatorSettings


@pytest.mark.parametrize(
    ("settings", "fields"),
    [({}, {"image": "i"}), ({"image_pull_policy": "Never"}, {"image": "i", "imagePullPolicy": "Never"})],
    ids=["unset", "set"],
)
def test_the_policy_is_written_only_where_it_is_set(settings: dict[str, Any], fields: dict[str, str]) -> None:
    assert image_of("i", OperatorSettings(**settings)) == fields
