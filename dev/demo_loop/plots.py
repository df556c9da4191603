"""A plot over time as SVG, with colours from the page's style sheet, so that it fits light and dark pages. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH, HEIGHT = 960, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 26, 40
COLOURS = 6
"""Classes c1 to c6 of the style sheet."""
_NICE = (1, 2, 2.5, 5, 10)
_MARK_ROOM = 18
"""Pixels between the numbers of two marks, below which the second one is written lower."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line, or one step for each point."""

    name: str
    points: Sequence[tuple[float, float]]
    """Seconds since 1970, and the value. A gap of more than `gap` seconds is not bridged."""
    colour: int
    is_dashed: bool = False
    is_step: bool = False
    gap: float = 90.0


@dataclass(frozen=True, kw_only=True)
class Dots:
    """Values with their intervals."""

    name: str
    points: Sequence[tuple[float, float, float, float]]
    """Seconds since 1970, value, lower and upper end."""
    colour: int
    is_square: bool = False


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What is drawn on one pair of axes."""

    title: str
    unit: str
    """Of the vertical axis."""
    lines: Sequence[Line] = ()
    dots: Sequence[Dots] = ()
    low: float | None = None
    """Lower end of the vertical axis. Default: 0."""
    high: float | None = None
    """Its upper end. Default: what the values need."""
    as_percent: bool = False


@dataclass(frozen=True, kw_only=True)
class _Scale:
    begin: float
    end: float
    low: float
    high: float

    def x(self, at: float) -> float:
        share = (at - self.begin) / max(self.end - self.begin, 1e-9)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / max(self.high - self.low, 1e-9)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)


def to_svg(plot: Plot, *, begin: float, end: float, marks: Sequence[float]) -> str:
    """Return the plot from `begin` to `end` (seconds since 1970), with a numbered line at each mark."""
    low = plot.low or 0.0
    scale = _Scale(begin=begin, end=end, low=low, high=_top(plot, low))
    body = [
        *_axes(plot, scale),
        *_marks(scale, marks),
        *(part for line in plot.lines for part in _line(line, scale)),
        *(part for dots in plot.dots for part in _dots(dots, scale)),
    ]
    label = escape(f"{plot.title}, {plot.unit}, over minutes", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(body)}</svg>'


def swatch(item: Line | Dots) -> str:
    """Return the sign of a line or of dots for the legend."""
    if isinstance(item, Dots):
        return f'<svg viewBox="0 0 26 12" width="26" height="12" aria-hidden="true">{_dot(item, 13, 6)}</svg>'
    path = f'<path class="line c{item.colour}{" dashed" if item.is_dashed else ""}" d="M1 6H25"/>'
    return f'<svg viewBox="0 0 26 12" width="26" height="12" aria-hidden="true">{path}</svg>'


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Return round numbers from `low` to `high`, at most `most`."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in _NICE if power * nice >= rough * 0.999999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _top(plot: Plot, low: float) -> float:
    if plot.high is not None:
        return plot.high
    values = [value for line in plot.lines for _, value in line.points] + [
        point[3] for dots in plot.dots for point in dots.points
    ]
    return max([value for value in values if value > low], default=low + 1.0) * 1.05


def _axes(plot: Plot, scale: _Scale) -> Iterable[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for value in ticks(scale.low, scale.high, most=5):
        y = scale.y(value)
        text = f"{value * 100:g} %" if plot.as_percent else f"{value:g}"
        yield f'<path class="grid" d="M{_LEFT} {y}H{right}"/><text class="end" x="{_LEFT - 6}" y="{y + 4}">{text}</text>'
    for minute in ticks(0.0, (scale.end - scale.begin) / 60, most=12):
        x = scale.x(scale.begin + minute * 60)
        yield f'<path class="axis" d="M{x} {bottom}v5"/><text class="middle" x="{x}" y="{bottom + 18}">{minute:g}</text>'
    yield f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>'
    yield f'<text class="middle" x="{(_LEFT + right) / 2}" y="{HEIGHT - 4}">minutes</text>'
    yield f'<text x="4" y="12">{escape(plot.unit)}</text>'


def _marks(scale: _Scale, marks: Sequence[float]) -> Iterable[str]:
    before, lower = float("-inf"), False
    for number, at in enumerate(marks, start=1):
        x = scale.x(at)
        lower = x - before < _MARK_ROOM and not lower
        before = x
        yield f'<path class="mark" d="M{x} {_TOP}V{HEIGHT - _BOTTOM}"/>'
        yield f'<text class="middle number" x="{x}" y="{_TOP + 10 if lower else _TOP - 4}">{number}</text>'


def _line(line: Line, scale: _Scale) -> Iterable[str]:
    steps: list[str] = []
    before: tuple[float, float] | None = None
    for at, value in line.points:
        x, y = scale.x(at), scale.y(value)
        if before is None or at - before[0] > line.gap:
            steps.append(f"M{x} {y}")
        else:
            steps.append(f"H{x}V{y}" if line.is_step else f"L{x} {y}")
        before = (at, value)
    if steps:
        yield f'<path class="line c{line.colour}{" dashed" if line.is_dashed else ""}" d="{"".join(steps)}"/>'


def _dots(dots: Dots, scale: _Scale) -> Iterable[str]:
    for at, value, low, high in dots.points:
        x = scale.x(at)
        yield f'<path class="line c{dots.colour}" d="M{x} {scale.y(low)}V{scale.y(high)}"/>{_dot(dots, x, scale.y(value))}'


def _dot(dots: Dots, x: float, y: float) -> str:
    if dots.is_square:
        return f'<rect class="dot c{dots.colour}" x="{x - 4}" y="{y - 4}" width="8" height="8"/>'
    return f'<circle class="dot c{dots.colour}" cx="{x}" cy="{y}" r="4.5"/>'
