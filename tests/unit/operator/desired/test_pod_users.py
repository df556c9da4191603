"""As whom pods run: as the administrator's user, or as the one that the platform gives to the namespace."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_operator.desired.common.pod import pod_security
from tuneloop_operator.settings.operator import OperatorSettings


@pytest.mark.parametrize(
    ("settings", "identity"),
    [
        ({}, {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}),
        ({"uid": 7, "gid": 8}, {"runAsUser": 7, "runAsGroup": 8, "fsGroup": 8}),
        ({"uid": None, "gid": None}, {}),
        ({"uid": None}, {"runAsGroup": 1000, "fsGroup": 1000}),
    ],
    ids=["as usual", "chosen", "by the platform", "the user by the platform"],
)
def test_user_and_group_are_written_only_where_the_platform_does_not_choose(
    settings: dict[str, Any], identity: dict[str, int]
) -> None:
    always = {"runAsNonRoot", "fsGroupChangePolicy", "seccompProfile"}
    found = pod_security(OperatorSettings(**settings))
    assert found["runAsNonRoot"] is True
    assert {name: value for name, value in found.items() if name not in always} == identity
