"""Makes Grafana's JSON of a page, by the builders of Grafana's own SDK."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.page import GRID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dashboards.page import Annotation, Link, Page, Panel, Query, Row, State, Threshold, Variable

TAG = "tuneloop"
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_NO_TIME = {"Time": True}
_REPEATED_IN_A_LINE = 3


def to_json(page: Page) -> str:
    """Return the text of a dashboard: the same one for the same page."""
    built = json.loads(JSONEncoder().encode(_builder(page).build()))
    built["panels"] = list(_placed(built["panels"]))
    built["annotations"]["list"] = [
        found | _marks(page.annotations[place]) for place, found in enumerate(built["annotations"]["list"])
    ]
    return json.dumps(built, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _builder(page: Page) -> dashboard.Dashboard:
    built = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.about)
        .tags([TAG])
        .readonly()
        .refresh("1m")
        .time(page.since, "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_other_dashboards())
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for variable in page.variables:
        built.with_variable(_variable(variable))
    built.annotations([_annotation(found) for found in page.annotations])
    for row in page.rows:
        _add_row(built, row)
    return built


def _add_row(built: dashboard.Dashboard, row: Row) -> None:
    built.with_row(dashboard.Row(row.title))
    for panel in row.panels:
        built.with_panel(_panel(panel))


def _placed(panels: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the panels with numbers and places: from left to right below the heading of their row."""
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        place = panel["gridPos"]
        width = place.get("w") or GRID
        if panel["type"] == "row" or x + width > GRID:
            x, y, height = 0, y + height, 0
        yield panel | {"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": place["h"]}}
        x, height = x + width, max(height, place["h"])


def _other_dashboards() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Tuneloop")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def _variable(variable: Variable) -> dashboard.QueryVariable:
    built = (
        dashboard.QueryVariable(variable.name)
        .label(variable.name.capitalize())
        .description(variable.about)
        .datasource(_SOURCE)
        .query({"query": variable.query, "refId": variable.name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    if variable.is_multiple:
        everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
        built.multi(True).include_all(True).all_value(".*").current(everything)
    return built


def _annotation(annotation: Annotation) -> dashboard.AnnotationQuery:
    built = dashboard.AnnotationQuery().name(annotation.name).datasource(_SOURCE).icon_color(annotation.color)
    return built.enable(True).hide(False).expr(annotation.expr)


def _marks(annotation: Annotation) -> dict[str, object]:
    """Return what Prometheus' data source reads of an annotation, and the SDK does not have."""
    return {"titleFormat": annotation.title, "useValueForTime": annotation.is_time, "step": "30s"}


def _panel(panel: Panel) -> Any:
    built = _BUILDERS[panel.kind](panel)
    built.title(panel.title).description(panel.about).datasource(_SOURCE).unit(panel.unit)
    built.height(panel.height).span(panel.width)
    for letter, query in zip(string.ascii_uppercase, panel.queries, strict=False):
        built.with_target(_target(query, letter, panel))
    if panel.minimum is not None:
        built.min(panel.minimum)
    if panel.maximum is not None:
        built.max(panel.maximum)
    if panel.thresholds:
        built.thresholds(_thresholds(panel.thresholds))
    if panel.states:
        built.mappings(_mappings(panel.states))
    if panel.without_data is not None:
        built.no_value(panel.without_data)
    if panel.repeated_by:
        built.repeat(panel.repeated_by).repeat_direction("h").max_per_row(_REPEATED_IN_A_LINE)
    return built


def _target(query: Query, letter: str, panel: Panel) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(query.expr).ref_id(letter).datasource(_SOURCE)
    if panel.kind == "table":
        return built.instant().format(PromQueryFormat.TABLE)
    built.legend_format(query.legend)
    return built.instant() if panel.kind == "stat" else built.range()


def _timeseries(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True).placement(common_models.LegendPlacement.BOTTOM)
    legend.display_mode(common_models.LegendDisplayMode.LIST)
    tooltip = common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
    built = timeseries.Panel().legend(legend).tooltip(tooltip).fill_opacity(30 if panel.is_stacked else 0).line_width(1)
    if panel.is_stacked:
        built.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if panel.thresholds:
        lines = common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
        built.thresholds_style(lines)
    if panel.band:
        lower, upper = panel.band
        built.override_by_name(lower, [_property("custom.lineWidth", 0)])
        filled = [_property("custom.fillBelowTo", lower), _property("custom.fillOpacity", 15)]
        built.override_by_name(upper, [_property("custom.lineWidth", 0), *filled])
    return built


def _stat(panel: Panel) -> stat.Panel:
    colors = common_models.BigValueColorMode
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    has_color = bool(panel.thresholds or panel.states)
    built = stat.Panel().reduce_options(last).graph_mode(common_models.BigValueGraphMode.NONE)
    return built.color_mode(colors.BACKGROUND if has_color else colors.NONE)


def _state_timeline(_: Panel) -> statetimeline.Panel:
    legend = common.VizLegendOptions().show_legend(False)
    built = statetimeline.Panel().legend(legend).merge_values(True)
    return built.show_value(common_models.VisibilityMode.AUTO)


def _table(panel: Panel) -> table.Panel:
    columns = {f"Value #{letter}": query for letter, query in zip(string.ascii_uppercase, panel.queries, strict=False)}
    names = {value: query.legend for value, query in columns.items()}
    organize = {"excludeByName": _NO_TIME, "renameByName": names}
    built = (
        table.Panel()
        .filterable(True)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(models.DataTransformerConfig(id_val="organize", options=organize))
    )
    for query in columns.values():
        if properties := list(_column(query)):
            built.override_by_name(query.legend, properties)
    for link in panel.links:
        built.override_by_name(link.column, [_property("links", [{"title": link.title, "url": _url(link)}])])
    return built


def _column(query: Query) -> Iterator[models.DynamicConfigValue]:
    if query.unit:
        yield _property("unit", query.unit)
    if query.thresholds:
        yield _property("thresholds", _thresholds(query.thresholds).build().to_json())
    if query.states:
        yield _property("mappings", [mapping.to_json() for mapping in _mappings(query.states)])
    if query.thresholds or query.states:
        yield _property("custom.cellOptions", {"type": "color-text"})


def _url(link: Link) -> str:
    given = "&".join(f"var-{quote(name)}=${{__data.fields.{column}}}" for name, column in link.variables)
    return f"/d/{link.dashboard}?var-datasource=${{datasource}}&{given}&${{__url_time_range}}"


def _thresholds(steps: Iterable[Threshold]) -> dashboard.ThresholdsConfig:
    # the colour of the first step holds below it, too
    found = [
        models.Threshold(value=step.value if place else None, color=step.color) for place, step in enumerate(steps)
    ]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def _mappings(states: Iterable[State]) -> list[models.ValueMapping]:
    options = {
        str(state.number): models.ValueMappingResult(text=state.word, color=state.color, index=place)
        for place, state in enumerate(states)
    }
    return [models.ValueMap(options=options)]


def _property(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=name, value=value)


_BUILDERS = {"timeseries": _timeseries, "stat": _stat, "state-timeline": _state_timeline, "table": _table}
