"""vLLM's metrics by our names: the recording rules, by the real promtool, on a metrics page that vLLM 0.32.0 wrote after four answers of 52 tokens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from metrics_page import RULES
from rule_series import BY_NAME, check_rules, written

PAGE = Path(__file__).parents[2] / "golden/vllm/metrics-0.32.0.txt"
_SAMPLE = re.compile(r"(?P<name>[\w:]+)\{(?P<labels>.*)\} (?P<value>\S+)")
SCRAPED = {"namespace": "team", "deployment": "reviews", "revision": "03ab03ab", "pod": "a"}
"""Labels that a scrape adds."""
OF_TEXT = {"task": "text-generation"}
EXPECTED = {
    "tuneloop_time_to_first_token_seconds_count": [(OF_TEXT, 4)],
    "tuneloop_inter_token_latency_seconds_count": [(OF_TEXT, 48)],
    'tuneloop_inter_token_latency_seconds_bucket{le="+Inf"}': [(OF_TEXT | {"le": "+Inf"}, 48)],
    'tuneloop_generation_finish_total{reason!="repetition"}': [
        ({"reason": reason}, 4 if reason == "length" else 0) for reason in ("stop", "length", "abort", "error")
    ],
    "tuneloop_tokens_total": [({"direction": "prompt"}, 22), ({"direction": "generated"}, 52)],
    "tuneloop_queue_requests": [({}, 0)],
    "tuneloop_inflight_requests": [({}, 0)],
}


def samples() -> list[dict[str, str]]:
    """Return the page as series of five minutes, as a scrape in a cluster stores them."""
    found = [_SAMPLE.fullmatch(line) for line in PAGE.read_text().splitlines() if not line.startswith("#")]
    return [
        {
            "series": f"{sample['name']}{{{sample['labels']},{written(SCRAPED)[1:]}",
            "values": f"{float(sample['value'])}x5",
        }
        for sample in found
        if sample is not None
    ]


@pytest.mark.parametrize("query", EXPECTED)
def test_vllm_answers_to_our_name(query: str, tmp_path: Path) -> None:
    name = query.partition("{")[0]
    expected = [{"labels": name + written(SCRAPED | labels), "value": value} for labels, value in EXPECTED[query]]
    check_rules(
        tmp_path,
        {
            "input_series": samples(),
            "promql_expr_test": [{"expr": query, "eval_time": "3m", "exp_samples": expected}],
        },
    )


def test_each_name_is_one_that_our_servers_have_with_the_same_labels() -> None:
    groups = {group["name"]: group["rules"] for group in yaml.safe_load(RULES.read_text())["groups"]}
    recorded = {re.sub(r"_(bucket|sum|count)$", "", rule["record"]) for rule in groups["tuneloop-vllm"]}
    assert recorded == {re.sub(r"_(bucket|sum|count)$", "", query.partition("{")[0]) for query in EXPECTED}
    assert recorded <= BY_NAME.keys()


def test_the_rules_ask_for_metrics_that_this_version_has() -> None:
    asked = set(re.findall(r"vllm:\w+", RULES.read_text()))
    assert asked == {found[1] for line in PAGE.read_text().splitlines() if (found := _SAMPLE.match(line))}
