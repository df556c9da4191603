"""What a dashboard is made of, as plain data. Nothing here knows Grafana's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["short", "reqps", "percentunit", "s", "bytes", "dateTimeFromNow", "none", "ops", "cps"]
"""Units as Grafana calls them. `short` is a plain count, `percentunit` a share of 0 to 1, `cps` counts per second, `dateTimeFromNow` a time in milliseconds."""
Kind: TypeAlias = Literal["timeseries", "stat", "table", "state-timeline"]
GRID = 24
"""Columns of Grafana's grid."""


@dataclass(frozen=True)
class Threshold:
    """From this value on the panel has this colour."""

    value: float
    color: str


@dataclass(frozen=True)
class State:
    """A number that stands for a word."""

    number: int
    word: str
    color: str


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query of a panel."""

    expr: str
    legend: str = ""
    """Name of each series, with `{{label}}`; in a table the name of the column."""
    unit: Unit | None = None
    """Of a column of a table; None: that of the panel."""
    thresholds: tuple[Threshold, ...] = ()
    """Of a column of a table."""
    states: tuple[State, ...] = ()
    """Of a column of a table."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel: title, what it shows, and how."""

    title: str
    about: str
    """Shown at the panel's title: what is counted, and what to do where a threshold is crossed."""
    queries: tuple[Query, ...]
    unit: Unit
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    thresholds: tuple[Threshold, ...] = ()
    states: tuple[State, ...] = ()
    minimum: float | None = 0
    maximum: float | None = None
    is_stacked: bool = False
    band: tuple[str, str] | None = None
    """Legends of a lower and an upper limit; the space between them is filled."""
    links: tuple[Link, ...] = ()
    """Of a table: where a cell leads to."""
    repeated_by: str = ""
    """Variable for each value of which there is a panel; empty: one panel."""
    without_data: str | None = None
    """What stands there when a query returns nothing."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A link from the cells of a column of a table to another dashboard."""

    column: str
    title: str
    dashboard: str
    """Its uid."""
    variables: tuple[tuple[str, str], ...]
    """Name of a variable there, and the column that has its value."""


@dataclass(frozen=True)
class Row:
    """A row of panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A choice at the top of a dashboard, from the values of a label."""

    name: str
    about: str
    query: str
    is_multiple: bool = False
    """Several values, or all of them, which is the default."""


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """Marks in all graphs of a dashboard."""

    name: str
    color: str
    expr: str
    """A mark stands where its value is above 0; with `is_time` where its value says, in milliseconds."""
    title: str
    """With `{{label}}`."""
    is_time: bool = False


@dataclass(frozen=True, kw_only=True)
class Page:
    """A dashboard."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    since: str = "now-6h"
