"""The page of a recorded story has all its parts and needs nothing else."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from demo_loop.events import Mark
from demo_loop.plots import Line, Plot, ticks, to_svg
from demo_loop.report import page
from demo_loop.series import from_reply
from drift_story import BEGAN, TURN, story_events, story_series

MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def text() -> str:
    return page(story_events(), story_series(), title="A story <of drift>")


@pytest.fixture(scope="module")
def tree(text) -> ET.Element:
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def texts(found: ET.Element) -> str:
    return " ".join("".join(found.itertext()).split())


def test_each_plot_has_a_name_a_legend_and_axes(tree) -> None:
    figures = tree.findall(".//figure")
    assert [texts(figure.find("figcaption")).split(",")[0] for figure in figures] == [
        "Traffic by kind of text",
        "Drift of inputs and answers",
        "Accuracy in each minute",
        "Who answers",
    ]
    for figure in figures:
        plot = figure.find(".//svg[@role='img']")
        assert "minutes" in plot.get("aria-label")
        assert len(figure.findall("ul/li")) >= 2
        assert len(plot.findall("path[@class='grid']")) >= 2


@pytest.mark.parametrize(
    ("figure", "names"),
    [
        (0, ["movies", "tweets"]),
        (1, ["confidence", "tokens", "confidence, critical value", "tokens, critical value"]),
        (2, ["by the true labels", "by the labels that came back"]),
        (
            3,
            [
                "reviews-3fa1, of the answers",
                "reviews-9c02, of the answers",
                "reviews-9c02, weight",
                "reviews-3fa1, weight",
            ],
        ),
    ],
)
def test_each_legend_names_what_is_drawn(tree, figure: int, names: list[str]) -> None:
    assert [texts(item) for item in tree.findall(".//figure")[figure].findall("ul/li")] == names


def test_every_plot_has_the_numbered_marks_and_the_list_says_what_they_are(tree) -> None:
    for plot in tree.findall(".//svg[@role='img']"):
        assert len(plot.findall("path[@class='mark']")) == 3
    items = [texts(item) for item in tree.findall(".//ol/li")]
    assert items[0] == "3.0 min: traffic turns from movies to tweets"
    assert items[1].endswith("allowed is 80 % <or more>")


def test_accuracies_are_dots_with_intervals(tree) -> None:
    plot = tree.findall(".//svg[@role='img']")[2]
    assert len(plot.findall("circle")) == 14
    assert len(plot.findall("rect")) == 14
    assert len([path for path in plot.findall("path") if path.get("class").startswith("line")]) == 28


def test_the_table_shows_interval_and_number(tree) -> None:
    rows = [[texts(cell) for cell in row] for row in tree.findall(".//table/tr")]
    assert [row[0] for row in rows[1:]] == [
        "before the drift",
        "drift, the model from before",
        "the lowest of 7 minutes of drift",
        "after the promotion",
    ]
    assert all(
        re.fullmatch(r"\d+\.\d % \(\d+\.\d–\d+\.\d %\), n = [\d,]+", cell) for row in rows[1:] for cell in row[1:]
    )


def test_the_page_needs_no_other_file_and_is_small(text) -> None:
    assert not re.search(r"(?:https?:)?//|<script|<link|@import|url\(|src=", text)
    assert len(text.encode()) < MOST_BYTES


def test_the_page_has_colours_for_dark_pages(text) -> None:
    assert "prefers-color-scheme:dark" in text
    for number in range(1, 7):
        assert len(re.findall(rf"--c{number}:#", text)) == 2


def test_titles_and_marks_are_no_markup(text) -> None:
    assert "A story &lt;of drift&gt;" in text
    assert "<or more>" not in text


def test_a_run_without_stored_series_still_has_a_page() -> None:
    tree = ET.fromstring(page(story_events(), {}, title="t").removeprefix("<!DOCTYPE html>\n"))
    assert texts(tree.findall(".//figure")[1].find("ul")) == "nothing was recorded"


def test_no_traffic_is_no_page() -> None:
    with pytest.raises(ValueError, match="no request"):
        page([Mark(at=BEGAN, name="turn", text="")], {}, title="t")


def test_the_turn_is_where_the_lines_cross(tree) -> None:
    plot = tree.findall(".//svg[@role='img']")[0]
    mark = float(re.match(r"M([\d.]+)", plot.findall("path[@class='mark']")[0].get("d")).group(1))
    last = max(event.at for event in story_events())
    assert mark == pytest.approx(56 + TURN / (last - BEGAN) * (960 - 56 - 16), abs=0.1)


def drawn(*points: tuple[float, float], **fields: object) -> str:
    plot = Plot(title="t", unit="u", lines=[Line(name="n", points=points, colour=1, **fields)], high=1.0)
    return re.search(r'class="line c1" d="([^"]*)"', to_svg(plot, begin=0, end=600, marks=[])).group(1)


def test_a_gap_in_a_series_is_not_bridged() -> None:
    assert drawn((0, 0), (60, 0), (300, 0)).count("M") == 2


def test_a_step_stays_level_until_its_next_point() -> None:
    assert re.fullmatch(r"M56\.0 210\.0H[\d.]+V26\.0", drawn((0, 0), (60, 1), is_step=True))


def test_values_outside_the_axis_stay_on_its_edge() -> None:
    assert drawn((0, 0), (60, 7)).endswith(" 26.0")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.6, 1, [0.6, 0.7, 0.8, 0.9, 1.0]),
        (0, 0.735, [0, 0.2, 0.4, 0.6]),
        (0, 14, [0, 5, 10]),
        (2, 2, [2]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, most=5) == pytest.approx(expected)


def test_replies_of_prometheus_become_series_without_what_is_no_number() -> None:
    reply = {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"metric": {"feature": "f"}, "values": [[1, "0.5"], [2, "NaN"]]}]},
    }
    (found,) = from_reply(reply)
    assert (found.labels, found.points) == ({"feature": "f"}, ((1.0, 0.5),))


def test_an_error_of_prometheus_is_shown() -> None:
    with pytest.raises(ValueError, match="parse error"):
        from_reply({"status": "error", "error": "parse error"})
