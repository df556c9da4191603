"""`tuneloop validate` explains every mistake of the bad-input matrix: its place, the value given, the values allowed, an example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bad_manifest import GOOD, JOB, BadManifest, By
from bad_manifests import BAD_MANIFESTS

from tuneloop_api.v1alpha1 import API_VERSION
from tuneloop_cli.manifests.load import load_manifests
from tuneloop_cli.manifests.problems import ManifestError, Problem

EXPLAINED_HERE = [bad for bad in BAD_MANIFESTS if bad.by is not By.OPERATOR]
HEAD = f"apiVersion: {API_VERSION}\nkind: FineTuneJob\nmetadata: {{name: a}}\n"


def problems_of(tmp_path: Path, text: str) -> tuple[Problem, ...]:
    file = tmp_path / "job.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        load_manifests([file])
    return caught.value.problems


@pytest.mark.parametrize("bad", EXPLAINED_HERE, ids=lambda bad: f"{bad.row} {bad.path}={str(bad.value)[:24]!a}")
def test_a_mistake_is_reported_with_its_field_and_what_is_allowed(tmp_path: Path, bad: BadManifest) -> None:
    (problem,) = problems_of(tmp_path, bad.text)
    assert problem.path.startswith(bad.path)
    assert problem.line == 1
    assert bad.advice in problem.message


@pytest.mark.parametrize("bad", EXPLAINED_HERE, ids=lambda bad: f"{bad.row} {bad.path}={str(bad.value)[:24]!a}")
def test_a_message_is_short_and_shows_no_odd_character_as_it_is(tmp_path: Path, bad: BadManifest) -> None:
    (problem,) = problems_of(tmp_path, bad.text)
    assert len(problem.message) <= 600
    assert str(problem).isprintable()


@pytest.mark.parametrize("bad", [bad for bad in BAD_MANIFESTS if bad.by is By.OPERATOR], ids=lambda bad: bad.field)
def test_what_only_the_operator_refuses_is_no_mistake_of_the_text(tmp_path: Path, bad: BadManifest) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(bad.text, encoding="utf-8")
    (loaded,) = load_manifests([file])
    assert loaded.manifest["spec"] == bad.manifest["spec"]


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        pytest.param(HEAD + "kind: FineTuneJob\n", 4, "the key 'kind' stands twice in one mapping", id="a key twice"),
        pytest.param(HEAD + "spec:\n\tmodel: a\n", 5, "cannot start any token", id="a tab"),
        pytest.param(HEAD + "spec: {a: [1, 2\n", 5, "not YAML: expected", id="an open list"),
        pytest.param(HEAD + "spec: *gone\n", 4, "found undefined alias", id="an alias of nothing"),
        pytest.param(HEAD + "spec: &loop {a: *loop}\n", 4, "is nested too deeply", id="an alias of itself"),
        pytest.param("- a\n", 1, "a manifest is a mapping", id="a list"),
        pytest.param(HEAD + f"spec: {'[' * 30}{']' * 30}\n", 4, "allowed are 20 levels", id="30 levels"),
        pytest.param(BOMB, 1, "once its aliases (*NAME) are written out", id="aliases of aliases"),
        pytest.param(HEAD + "spec: .nan\n", 4, ".nan is not a number that a manifest can hold", id="not a number"),
        pytest.param(HEAD + "spec: {a: \0}\n", None, "special characters are not allowed", id="NUL"),
    ],
)
def test_text_that_is_no_manifest_is_reported_with_its_line(
    tmp_path: Path, text: str, line: int | None, says: str
) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert says in problem.message
    assert line is None or problem.line in {line, line + 1}


def test_aliases_that_stand_for_little_are_read(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(
        f"apiVersion: {API_VERSION}\nkind: FineTuneJob\nmetadata: {{name: a}}\nspec:\n"
        "  model: {uri: hf://a/b}\n  task: text-classification\n"
        "  data: {train: [&rows {uri: pvc://models/a.csv}], test: [*rows]}\n"
    )
    (loaded,) = load_manifests([file])
    assert loaded.manifest["spec"]["data"]["test"] == [{"uri": "pvc://models/a.csv"}]


def test_a_letter_that_json_writes_as_two_escapes_is_one_letter(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    body = {"model": {"uri": "hf://a/b", "labels": ["\U0001f600", "half \ud83d"]}}
    file.write_text(json.dumps(job() | {"spec": GOOD[JOB] | body}))
    (loaded,) = load_manifests([file])
    assert loaded.manifest["spec"]["model"]["labels"] == ["\U0001f600", "half \ufffd"]


def test_a_manifest_that_is_too_big_to_store_says_its_size(tmp_path: Path) -> None:
    face = "\U0001f600"
    source = {"uri": f"file:///{face * 1016}", "columns": {"text": face * 128, "label": face * 128}}
    model = {"uri": "hf://a/b", "labels": [f"{number:04}{face * 124}" for number in range(1000)]}
    body = job() | {
        "spec": GOOD[JOB] | {"model": model, "data": dict.fromkeys(["train", "validation", "test"], [source] * 64)}
    }
    body["metadata"]["annotations"] = {"a": "x" * 200_000}
    (problem,) = problems_of(tmp_path, json.dumps(body, ensure_ascii=False))
    assert problem.message.startswith("the manifest is 1")
    assert problem.message.endswith(" bytes; the cluster stores at most 1500000 of one object")


def job() -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "FineTuneJob", "metadata": {"name": "a"}, "spec": GOOD[JOB]}
