"""The row of a deployment's dashboard about a model that generates text: its tokens, their times, why and how answers end, and what they are worth."""

from __future__ import annotations

from dashboards.page import Panel, Query, Row
from dashboards.queries import OF_REVISIONS, bad_from, largest, per_second, quantile

_SHARES = (0.5, 0.95)
_BROKEN = (("cut", "finish_reason", "0"), ("empty", "answer_kind", "0"), ("refused", "answer_kind", "1"), ("repeating", "answer_kind", "2"))  # fmt: skip


def _broken(metric: str) -> tuple[Query, ...]:
    return tuple(
        Query(
            expr=largest(metric, f'{OF_REVISIONS},feature="{feature}",bin="{bin_}"', "revision"),
            legend=f"{{{{revision}}}} {sign}",
        )
        for sign, feature, bin_ in _BROKEN
    )


GENERATION = Row(
    "Generated answers",
    (
        Panel(
            title="Tokens generated",
            about="Tokens per second that servers generate, by revision. Nothing where the model does not generate.",
            queries=(
                Query(
                    expr=per_second("tuneloop_tokens_total", f'{OF_REVISIONS},direction="generated"', "revision"),
                    legend="{{revision}}",
                ),
            ),
            unit="cps",
        ),
        Panel(
            title="Time to the first token",
            about="Percentiles of the time from a request to the first token of its answer, the wait in the queue included.",
            queries=tuple(
                Query(
                    expr=quantile(share, "tuneloop_time_to_first_token_seconds", OF_REVISIONS, "revision"),
                    legend=f"{{{{revision}}}} p{share * 100:.0f}",
                )
                for share in _SHARES
            ),
            unit="s",
        ),
        Panel(
            title="Time per token",
            about="Percentiles of the time from a token of an answer to the next one.",
            queries=tuple(
                Query(
                    expr=quantile(share, "tuneloop_inter_token_latency_seconds", OF_REVISIONS, "revision"),
                    legend=f"{{{{revision}}}} p{share * 100:.0f}",
                )
                for share in _SHARES
            ),
            unit="s",
        ),
        Panel(
            title="Why answers end",
            about="Answers per second by the reason of their end. length: as many tokens as were allowed; abort: the client left; error: see the server's log.",
            queries=(
                Query(
                    expr=per_second("tuneloop_generation_finish_total", OF_REVISIONS, "revision", "reason"),
                    legend="{{revision}} {{reason}}",
                ),
            ),
            unit="cps",
            is_stacked=True,
        ),
        Panel(
            title="Answers that are cut, empty, refused or repeating",
            about="Share of the answers of the last hour. Refusals are known by English words alone; repeating: more than half of the 4-grams of tokens were there before.",
            queries=_broken("tuneloop:feature_bin:ratio1h"),
            unit="percentunit",
            maximum=1,
        ),
        Panel(
            title="More of them than in the baseline window",
            about="Standard deviations above the share of the baseline window. Above 2.6 it is not chance; the alert asks for 5 points more as well.",
            queries=_broken("tuneloop:answer_bin:z1h"),
            unit="short",
            minimum=None,
            thresholds=bad_from(2.6),
        ),
        Panel(
            title="Mean score",
            about="Mean of the scores that clients give to answers, 0 to 1, of days whose feedback has come, with Wilson's limits at 95 %, which are cautious for scores between 0 and 1.",
            queries=tuple(
                Query(expr=largest(f"tuneloop:feedback_accuracy:{part}", OF_REVISIONS, "revision"), legend=f"{{{{revision}}}} {legend}")
                for part, legend in (("ratio", "score"), ("lower95", "lower limit"), ("upper95", "upper limit"))
            ),
            unit="percentunit",
            minimum=None,
            maximum=1,
            width=24,
        ),
    ),
)  # fmt: skip
