"""The check of a query's labels finds what would find nothing."""

from __future__ import annotations

import pytest
from promql_labels import LabelError, result_labels

KNOWN = {
    "hits_total": frozenset({"pod", "code"}),
    "role_info": frozenset({"pod", "role"}),
    "lag_seconds": frozenset({"pod"}),
    "lag_seconds_bucket": frozenset({"pod", "le"}),
}
FITTING = [
    ("hits_total", {"pod", "code"}),
    ("sum by (code) (rate(hits_total[5m]))", {"code"}),
    ("max(hits_total)", set()),
    ("topk(3, sum by (pod) (hits_total))", {"pod"}),
    ("histogram_quantile(0.9, sum by (le, pod) (rate(lag_seconds_bucket[5m])))", {"pod"}),
    ("rate(lag_seconds_sum[5m]) / rate(lag_seconds_count[5m])", {"pod"}),
    ("sum by (pod) (hits_total) * on (pod) group_left (role) role_info", {"pod", "role"}),
    ("lag_seconds * on (pod) group_right () role_info", {"pod", "role"}),
    ("hits_total and on (pod) role_info", {"pod", "code"}),
    ("sum by (pod) (hits_total) or vector(0)", set()),
    ("time() - max by (pod) (lag_seconds)", {"pod"}),
    ("lag_seconds > 0", {"pod"}),
]
BROKEN = [
    ("hit_total", "hit_total"),
    ('hits_total{status="200"}', "status"),
    ("sum by (verb) (hits_total)", "verb"),
    ("histogram_quantile(0.9, sum by (pod) (rate(lag_seconds_bucket[5m])))", "le"),
    ("hits_total / role_info", "never match"),
    ("hits_total * on (code) role_info", "code"),
    ("hits_total * on (pod) group_left (verb) role_info", "verb"),
    ("hits_total * on (pod) group_right (verb) role_info", "verb"),
]


@pytest.mark.parametrize(("query", "labels"), FITTING)
def test_a_result_has_the_labels_of_its_parts(query, labels):
    assert result_labels(query, KNOWN) == labels


@pytest.mark.parametrize(("query", "about"), BROKEN)
def test_a_query_that_can_find_nothing_is_refused(query, about):
    with pytest.raises(LabelError, match=about):
        result_labels(query, KNOWN)


def test_a_text_that_is_no_query_is_refused():
    with pytest.raises(ValueError, match="parenthesis"):
        result_labels("sum by (pod (hits_total)", KNOWN)
