"""Whether a stored object already is what is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_operator.desired.common.compare import covers


@pytest.mark.parametrize(
    ("stored", "wanted", "same"),
    [
        pytest.param({"a": 1, "default": 2}, {"a": 1}, True, id="what the server added is no difference"),
        pytest.param({"a": 1}, {"a": 1, "b": 2}, False, id="a missing field is one"),
        pytest.param(None, {"a": 1}, False, id="so is a missing object"),
        pytest.param([{"a": 1, "b": 2}], [{"a": 1}], True, id="items are compared one by one"),
        pytest.param([1, 2], [1], False, id="a longer list is another one"),
        pytest.param(
            [{"name": "b", "value": 1}, {"name": "a", "value": 1}],
            [{"name": "a", "value": 1}],
            True,
            id="where items have names, what others put beside ours stays",
        ),
        pytest.param([{"name": "a", "value": 2}], [{"name": "a", "value": 1}], False, id="a changed item with a name"),
        pytest.param([{"name": "b"}], [{"name": "a"}], False, id="a missing item with a name"),
        pytest.param(
            [{"name": "claim", "mountPath": "/a", "readOnly": True}, {"name": "claim", "mountPath": "/b"}],
            [{"name": "claim", "mountPath": "/a", "readOnly": True}, {"name": "claim", "mountPath": "/b"}],
            True,
            id="two mounts of one volume",
        ),
        pytest.param(
            [{"name": "other", "mountPath": "/a"}],
            [{"name": "claim", "mountPath": "/a"}],
            False,
            id="another volume at the same place",
        ),
        pytest.param(
            {"ownerReferences": [{"uid": "2"}, {"uid": "1"}]},
            {"ownerReferences": [{"uid": "1"}]},
            True,
            id="another owner beside ours",
        ),
        pytest.param({"selector": {"a": 1, "b": 2}}, {"selector": {"a": 1}}, False, id="a selector that selects less"),
        pytest.param(
            {"podSelector": {"matchLabels": {"a": 1, "b": 2}}},
            {"podSelector": {"matchLabels": {"a": 1}}},
            False,
            id="a policy for fewer pods",
        ),
        pytest.param(
            {"ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {}}]}]},
            {"ingress": [{"from": [{"podSelector": {}}]}]},
            False,
            id="a policy that lets more in",
        ),
        pytest.param({}, {"egress": [{}]}, False, id="a missing rule"),
        pytest.param("1", "1000m", True, id="a quantity written another way"),
        pytest.param("1Gi", "1024Mi", True, id="a binary quantity"),
        pytest.param("1k", "1Ki", False, id="another quantity"),
        pytest.param("abc", "abd", False, id="another text"),
        pytest.param("1", 1, False, id="a text and a number"),
    ],
)
def test_a_stored_object_covers_what_is_wanted(stored: Any, wanted: Any, same: bool) -> None:
    assert covers(stored, wanted) is same
