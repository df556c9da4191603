"""The dashboards of the chart: what they ask for is there, and what they show is explained."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from dashboards.__main__ import FOLDER, PAGES, main
from dashboards_page import DASHBOARDS, known_labels, panels, queries
from promql_labels import result_labels

KNOWN = known_labels()
QUERIES = queries()
PANELS = panels()
MOST_BYTES = 200 * 1024
LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
EACH_DASHBOARD = pytest.mark.parametrize("name", DASHBOARDS)
EACH_PANEL = pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}: {p['title']}" for name, p in PANELS])


def test_the_chart_has_the_dashboards_that_are_generated():
    assert main(["--check"]) == 0
    assert {page.uid for page in PAGES} == DASHBOARDS.keys()


def test_a_stale_file_is_named_and_so_is_one_too_many(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path), "--check"]) == 0
    stale = tmp_path / "tuneloop-job.json"
    stale.write_text(stale.read_text().replace("Loss", "Lose"))
    (tmp_path / "tuneloop-old.json").write_text("{}")
    assert main([str(tmp_path), "--check"]) == 1
    assert re.findall(r"(\S+) is stale", capsys.readouterr().err) == [str(stale), str(tmp_path / "tuneloop-old.json")]


@pytest.mark.parametrize("asked", QUERIES, ids=[f"{asked.where} {asked.legend}" for asked in QUERIES])
def test_a_query_asks_for_metrics_and_labels_that_there_are(asked):
    labels = result_labels(asked.expr, KNOWN)
    assert set(LABEL.findall(asked.legend)) <= labels


@EACH_PANEL
def test_a_panel_says_what_it_shows(name, panel):
    assert panel["title"], name
    assert panel["description"].endswith("."), panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    assert panel["targets"], panel["title"]
    if panel["type"] == "timeseries":
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@EACH_PANEL
def test_a_panel_asks_the_prometheus_that_was_chosen(name, panel):
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert {source["uid"] for source in sources} == {"${datasource}"}, name


@EACH_DASHBOARD
def test_numbers_of_panels_are_given_once(name):
    numbers = Counter(panel["id"] for panel in DASHBOARDS[name]["panels"])
    assert numbers.most_common(1)[0][1] == 1


@EACH_DASHBOARD
def test_panels_do_not_overlap_and_stay_on_the_grid(name):
    taken = Counter(
        (x, y)
        for panel in DASHBOARDS[name]["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    )
    assert max(taken.values()) == 1
    assert max(x for x, _ in taken) < 24


@EACH_DASHBOARD
def test_a_dashboard_has_a_page_of_its_own(name):
    page = DASHBOARDS[name]
    assert page["uid"] == name
    assert len(page["uid"]) <= 40, "Grafana's limit"
    assert page["title"].startswith("Tuneloop / ")
    assert page["description"]
    assert page["tags"] == ["tuneloop"]


def test_titles_of_dashboards_differ():
    assert len({page["title"] for page in DASHBOARDS.values()}) == len(DASHBOARDS)


@EACH_DASHBOARD
def test_a_dashboard_uses_the_variables_that_it_has(name):
    page = DASHBOARDS[name]
    declared = [variable["name"] for variable in page["templating"]["list"]]
    used = {
        word
        for panel in page["panels"]
        for target in panel.get("targets", ())
        for word in re.findall(r"\$(\w+)", target["expr"])
        if not word.startswith("__")
    }
    asked_by_variables = set(re.findall(r"\$(\w+)", str([v.get("query") for v in page["templating"]["list"]])))
    assert used | asked_by_variables <= set(declared)
    assert set(declared) - {"datasource"} <= used, "a choice without effect"


@EACH_DASHBOARD
def test_a_variable_takes_its_values_from_a_label_that_there_is(name):
    for variable in DASHBOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            (query, label) = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
            names = re.search(r'__name__=~"([^"]+)"', query)
            for metric in names[1].split("|") if names else [query.partition("{")[0]]:
                assert label in KNOWN[metric]


def test_links_lead_to_dashboards_and_their_variables():
    found = re.findall(r"/d/([\w-]+)\?([^\"]+)", str([page["panels"] for page in DASHBOARDS.values()]))
    assert {uid for uid, _ in found} == {"tuneloop-deployment", "tuneloop-job"}
    for uid, query in found:
        there = {variable["name"] for variable in DASHBOARDS[uid]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", query)) == there - {"revision", "feature"}


@EACH_DASHBOARD
def test_a_file_is_small(name):
    # a ConfigMap holds a MiB
    assert (FOLDER / f"{name}.json").stat().st_size < MOST_BYTES


def test_a_canary_a_promotion_a_roll_back_and_a_retraining_are_marked():
    marks = {mark["name"]: mark["expr"] for mark in DASHBOARDS["tuneloop-deployment"]["annotations"]["list"]}
    assert marks.keys() == {"Canary started", "Promoted", "Rolled back", "Retrained"}
