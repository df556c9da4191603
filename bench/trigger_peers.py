"""What Evidently or alibi-detect says of the days that `trigger_simulation.py --streams` wrote. Runs where one of the two is installed, without Tuneloop.

python bench/trigger_peers.py evidently /tmp/streams.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

OfDay = Callable[[np.ndarray, np.ndarray], bool]
"""Whether the tool calls a day drifted: baseline and day, [N, FEATURES]."""


def evidently(method: str | None) -> OfDay:
    """Return the verdict with its default threshold: some feature is drifted."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    def of_day(baseline: np.ndarray, day: np.ndarray) -> bool:
        names = [f"f{number}" for number in range(day.shape[1])]
        definition = DataDefinition(numerical_columns=names)
        now, before = (
            Dataset.from_pandas(pd.DataFrame(values, columns=names), data_definition=definition)
            for values in (day, baseline)
        )
        settings = {"method": method} if method else {}
        found = Report([ValueDrift(column=name, **settings) for name in names]).run(now, before).dict()["metrics"]
        # distances are drift from the threshold up, p-values below it
        return any(
            (metric["value"] < metric["config"]["threshold"])
            if "p_value" in metric["config"]["method"]
            else (metric["value"] >= metric["config"]["threshold"])
            for metric in found
        )

    return of_day


def alibi(_: str | None) -> OfDay:
    """Return the verdict of KSDrift with its defaults: p = 0.05, divided by the number of features."""
    from alibi_detect.cd import KSDrift

    def of_day(baseline: np.ndarray, day: np.ndarray) -> bool:
        return bool(KSDrift(baseline, p_val=0.05).predict(day)["data"]["is_drift"])

    return of_day


TOOLS: dict[str, tuple[Callable[[str | None], OfDay], tuple[str | None, ...]]] = {
    "evidently": (evidently, (None, "psi")),
    "alibi": (alibi, (None,)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Other tools on simulated days.")
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("streams")
    parser.add_argument("--days", type=int, default=200)
    given = parser.parse_args()
    make, methods = TOOLS[given.tool]
    streams = np.load(given.streams)
    for method in methods:
        of_day = make(method)
        for name in streams.files:
            base, *later = streams[name][: given.days + 1]
            found = [of_day(base, day) for day in later]
            first = found.index(True) + 1 if any(found) else "-"
            print(
                f"| {given.tool} {method or 'default'} | {name} | {len(found)} | {sum(found)} | {first} |", flush=True
            )


if __name__ == "__main__":
    main()
