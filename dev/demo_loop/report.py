"""The page at the end of the story: one HTML file with its plots, that needs nothing else. Pure.

Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart; lines also differ by dashes and dots by shape.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from demo_loop.plots import COLOURS, Dots, Line, Plot, swatch, to_svg
from demo_loop.windows import accuracy_windows, marks_of, periods, rates, requests_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from demo_loop.accuracy import Accuracy
    from demo_loop.events import Event, Mark, Request
    from demo_loop.series import Series
    from demo_loop.windows import Period, Window

RATE_SECONDS = 10.0
PSI, PSI_CRITICAL, WEIGHT = "psi", "psi_critical", "weight"
"""Names of the stored series: population stability index and its critical value by `feature`, share of requests by `revision`."""


def page(events: Sequence[Event], series: Mapping[str, Sequence[Series]], *, title: str) -> str:
    """Return the page. Raises ValueError without a request: there is nothing to show."""
    requests = requests_of(events)
    if not requests:
        raise ValueError("events: no request; the page needs the traffic of a run")
    begin = requests[0].at
    end = max(event.at for event in events)
    marks = marks_of(events)
    times = [mark.at for mark in marks]
    plots = "".join(_figure(plot, to_svg(plot, begin=begin, end=end, marks=times)) for plot in _plots(events, series))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f"{_summary(requests)}{_table(periods(events))}{plots}{_decisions(marks, begin)}"
        "</main></body></html>\n"
    )


def _plots(events: Sequence[Event], series: Mapping[str, Sequence[Series]]) -> list[Plot]:
    requests = requests_of(events)
    true, fed_back = (accuracy_windows(events, by_feedback=source) for source in (False, True))
    return [
        Plot(
            title="Traffic by kind of text",
            unit="requests per second",
            lines=_rate_lines(rates(requests, lambda request: request.domain, seconds=RATE_SECONDS)),
        ),
        Plot(title="Drift of inputs and answers", unit="population stability index", lines=_psi_lines(series)),
        Plot(
            title="Accuracy in each minute, with 95 % intervals (Wilson)",
            unit="share of right answers",
            dots=[
                Dots(name="by the true labels", points=_points(true, shift=-4.0), colour=1),
                Dots(
                    name="by the labels that came back", points=_points(fed_back, shift=4.0), colour=2, is_square=True
                ),
            ],
            low=_floor([*true, *fed_back]),
            high=1.0,
            as_percent=True,
        ),
        Plot(
            title="Who answers",
            unit="share of requests",
            lines=_weight_lines(requests, series),
            high=1.0,
            as_percent=True,
        ),
    ]


def _rate_lines(found: Mapping[str, Sequence[tuple[float, float]]]) -> list[Line]:
    return [
        Line(name=name, points=points, colour=number % COLOURS + 1, is_dashed=number % 2 == 1)
        for number, (name, points) in enumerate(found.items())
    ]


def _psi_lines(series: Mapping[str, Sequence[Series]]) -> list[Line]:
    """Return a solid line for each feature, and a dashed one of its colour for what its index exceeds by chance once in a hundred times."""
    features = sorted({found.labels.get("feature", "") for found in series.get(PSI, ())})
    colours = {feature: number % COLOURS + 1 for number, feature in enumerate(features)}
    return [
        Line(
            name=f"{found.labels.get('feature', '')}{suffix}",
            points=found.points,
            colour=colours.get(found.labels.get("feature", ""), 1),
            is_dashed=bool(suffix),
        )
        for name, suffix in ((PSI, ""), (PSI_CRITICAL, ", critical value"))
        for found in series.get(name, ())
    ]


def _weight_lines(requests: Sequence[Request], series: Mapping[str, Sequence[Series]]) -> list[Line]:
    """Return the weights by revision where they were stored, and what part of the answers each revision gave."""
    answered = [request for request in requests if request.prediction is not None]
    by_revision = rates(answered, lambda request: request.revision or "the only model", seconds=RATE_SECONDS)
    total = dict(rates(answered, lambda _: "", seconds=RATE_SECONDS).get("", []))
    weights = {
        _name_of(found.labels.get("revision", ""), by_revision): found.points for found in series.get(WEIGHT, ())
    }
    colours = {
        name: number % COLOURS + 1 for number, name in enumerate([*by_revision, *(weights.keys() - by_revision.keys())])
    }
    observed = [
        Line(
            name=f"{name}, of the answers",
            points=[(at, rate / total[at]) for at, rate in points if total.get(at)],
            colour=colours[name],
        )
        for name, points in by_revision.items()
    ]
    return observed + [
        Line(name=f"{name}, weight", points=points, colour=colours[name], is_dashed=True, is_step=True)
        for name, points in weights.items()
    ]


def _name_of(revision: str, answered: Iterable[str]) -> str:
    """Return the name that answers have for a revision: metrics have its hash (`7d1f0b2c`), answers its name (`reviews-7d1f0b2c`)."""
    return next((name for name in answered if name.endswith(f"-{revision}")), revision)


def _points(windows: Sequence[Window], *, shift: float) -> list[tuple[float, float, float, float]]:
    """Return the dots of windows, `shift` seconds off their middle, so that two kinds do not hide each other."""
    return [
        (
            (window.begin + window.end) / 2 + shift,
            window.accuracy.value,
            window.accuracy.low,
            window.accuracy.high,
        )
        for window in windows
    ]


def _floor(windows: Sequence[Window]) -> float:
    """Return a round number below all intervals."""
    return int(min((window.accuracy.low for window in windows), default=0.0) * 10) / 10


def _figure(plot: Plot, svg: str) -> str:
    items: list[Line | Dots] = [*plot.lines, *plot.dots]
    legend = (
        "".join(f"<li>{swatch(item)} {escape(item.name)}</li>" for item in items) or "<li>nothing was recorded</li>"
    )
    return f'<figure><figcaption>{escape(plot.title)}</figcaption><ul class="legend">{legend}</ul><div class="plot" tabindex="0">{svg}</div></figure>'


def _summary(requests: Sequence[Request]) -> str:
    failed = sum(request.prediction is None for request in requests)
    repeated = sum(request.repeated for request in requests)
    minutes = (requests[-1].at - requests[0].at) / 60
    text = f"{len(requests):,} requests in {minutes:.1f} minutes, {failed:,} without a good answer."
    if repeated:
        text += f" {repeated:,} had a text that was sent before; they are in no accuracy."
    return f"<p>{text}</p>"


def _table(rows: Sequence[Period]) -> str:
    head = "<tr><th scope='col'></th><th scope='col'>accuracy by the true labels</th><th scope='col'>by the labels that came back</th></tr>"
    body = "".join(
        f"<tr><th scope='row'>{escape(row.name)}</th><td>{_cell(row.true)}</td><td>{_cell(row.by_feedback)}</td></tr>"
        for row in rows
    )
    title = "Share of right answers, with 95 % interval (Wilson) and number of requests"
    return f"<h2>{title}</h2><div class='plot' tabindex='0'><table aria-label='{title}'>{head}{body}</table></div>"


def _cell(accuracy: Accuracy | None) -> str:
    if accuracy is None:
        return "none"
    ends = f"{100 * accuracy.low:.1f}–{100 * accuracy.high:.1f}\N{NO-BREAK SPACE}%"
    return f"<b>{100 * accuracy.value:.1f}\N{NO-BREAK SPACE}%</b> ({ends}), n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{accuracy.rows:,}"


def _decisions(marks: Sequence[Mark], begin: float) -> str:
    if not marks:
        return ""
    items = "".join(f"<li>{(mark.at - begin) / 60:.1f} min: {escape(mark.text)}</li>" for mark in marks)
    return f"<h2>What happened, by the numbers in the plots</h2><ol>{items}</ol>"


_STYLE = """
:root{color-scheme:light dark;--text:#1b1b1b;--back:#fff;--grid:#ddd;--mark:#767676;
--c1:#0072b2;--c2:#d55e00;--c3:#00795a;--c4:#a8487f;--c5:#5b4b00;--c6:#333}
@media(prefers-color-scheme:dark){:root{--text:#e8e8e8;--back:#16181b;--grid:#3a3d42;--mark:#9a9a9a;
--c1:#56b4e9;--c2:#f0a050;--c3:#3fcf9f;--c4:#e6a0c8;--c5:#f0e442;--c6:#ddd}}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem}
figure{margin:1.5rem 0}figcaption{font-weight:600}
.plot{overflow-x:auto}svg[role=img]{display:block;width:100%;min-width:640px;height:auto}
text{font-size:12px;fill:var(--text)}.middle{text-anchor:middle}.end{text-anchor:end}.number{font-weight:700}
.grid{stroke:var(--grid)}.axis{stroke:var(--text)}.mark{stroke:var(--mark);stroke-dasharray:2 3}
.line{fill:none;stroke-width:2}.dashed{stroke-dasharray:7 4}
.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}.c6{stroke:var(--c6)}
.dot.c1{fill:var(--c1)}.dot.c2{fill:var(--c2)}.dot{stroke:var(--back)}
.legend{list-style:none;padding:0;margin:.25rem 0;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;font-size:.9rem}
table{border-collapse:collapse;min-width:36rem}th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--grid);font-variant-numeric:tabular-nums}
ol{padding-left:1.5rem}
"""
