"""Every mistake in a manifest is explained: its place, the value found, the values allowed, and an example."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from tuneloop_cli.manifests.load import load_manifests
from tuneloop_cli.manifests.problems import ManifestError, describe_error, dotted

GOOD = """\
apiVersion: tuneloop.dev/v1alpha1
kind: FineTuneJob
metadata: {name: reviews}
spec:
  model:
    uri: pvc://demo/minilm
  task: text-classification
  data:
    train:
      - uri: pvc://demo/reviews.csv
        columns: {text: sentence}
  training:
    learningRate: 2e-4
"""


def problems_of(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "job.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        load_manifests([file])
    return [str(problem).removeprefix(str(tmp_path) + "/") for problem in caught.value.problems]


def test_a_good_manifest_loads_with_numbers_as_kubectl_reads_them(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(GOOD)
    (loaded,) = load_manifests([tmp_path / "job.yaml"])
    assert loaded.manifest["spec"]["training"]["learningRate"] == 2e-4
    assert loaded.manifest["metadata"] == {"name": "reviews", "namespace": "default"}


def test_metadata_that_is_null_counts_as_absent_as_the_api_server_reads_it(tmp_path: Path) -> None:
    metadata = "{name: reviews, namespace: null, labels: null, ownerReferences: null}"
    (tmp_path / "job.yaml").write_text(GOOD.replace("{name: reviews}", metadata))
    (loaded,) = load_manifests([tmp_path / "job.yaml"])
    assert loaded.manifest["metadata"] == {"name": "reviews", "namespace": "default"}


@pytest.mark.parametrize(
    "text",
    [f"---\n---\n{GOOD}", f"{GOOD}---\n---\n# nothing\n", f"~\n---\n{GOOD}---\nnull\n"],
    ids=["first", "last", "null"],
)
def test_empty_documents_are_skipped_as_kubectl_does(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.yaml").write_text(text)
    (loaded,) = load_manifests([tmp_path / "job.yaml"])
    assert loaded.name == "reviews"


def test_a_mistake_behind_an_empty_document_is_reported_with_its_own_line(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, f"---\n---\n{GOOD}".replace("learningRate", "learningRte"))
    assert problem.startswith("job.yaml:15: spec.training.learningRte: unknown field")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param(
            "learningRate:",
            "learningRte:",
            "job.yaml:13: spec.training.learningRte: unknown field; did you mean learningRate?",
            id="unknown field",
        ),
        pytest.param(
            "2e-4",
            "fast",
            "job.yaml:13: spec.training.learningRate: 'fast' is not allowed; must be a number. Example: learningRate: 2e-4",
            id="wrong type",
        ),
        pytest.param(
            "2e-4",
            "-1",
            "job.yaml:13: spec.training.learningRate: -1 is not allowed; must be greater than 0",
            id="out of range",
        ),
        pytest.param(
            "text-classification", "text-clasification", "did you mean text-classification?", id="misspelt enum"
        ),
        pytest.param(
            "uri: pvc://demo/minilm",
            "uri: /home/me/minilm",
            "job.yaml:6: spec.model.uri: '/home/me/minilm' is not allowed",
            id="not a URI",
        ),
        pytest.param(
            "learningRate: 2e-4",
            "epochs: 1\n    maxSteps: 5",
            "job.yaml:14: spec.training.maxSteps: cannot be combined with epochs",
            id="one of two",
        ),
        pytest.param(
            "learningRate: 2e-4",
            "globalBatchSize: 32\n    microBatchSize: 12",
            "spec.training.microBatchSize: globalBatchSize (32 by default) must be a multiple of it; got 12",
            id="batch",
        ),
        pytest.param(
            "  task:",
            "  method: {type: full, rank: 8}\n  task:",
            "spec.method.rank: applies only to type: lora",
            id="does not apply",
        ),
        pytest.param("name: reviews", "name: Reviews_1", "metadata.name: ", id="name"),
        pytest.param(
            "name: reviews",
            "name: reviews, namespace: ../..",
            "metadata.namespace: must be the name of a namespace",
            id="namespace",
        ),
        pytest.param(
            "name: reviews",
            "name: reviews, ownerReferences: [{apiVersion: batch/v1, kind: Job, name: nightly}]",
            "job.yaml:3: metadata.ownerReferences[0].uid: is required",
            id="an owner without a uid",
        ),
        pytest.param("name: reviews", "name: reviews, Labels: {}", "did you mean labels?", id="metadata"),
        pytest.param("{name: reviews}", "{}", "ending with a letter or digit", id="no name"),
        pytest.param(
            "  task:",
            "  checkpoint: {every: 0s}\n  task:",
            "spec.checkpoint.every: must be longer than 0s",
            id="no time",
        ),
        pytest.param("kind: FineTuneJob", "kind: FineTuneJobs", "kind FineTuneJobs is not known here", id="kind"),
        pytest.param("    uri: pvc://demo/minilm", "    revision: x", "spec.model.uri: is required", id="missing"),
        pytest.param(
            "      - uri: pvc://demo/reviews.csv\n        columns: {text: sentence}",
            "      []",
            "spec.data.train: [] is not allowed; must have at least 1 entries",
            id="empty list",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    (problem,) = problems_of(tmp_path, GOOD.replace(old, new))
    assert says in problem


class Sample(BaseModel):
    """A model with a Literal of each form."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    sort: Literal["fast", "thorough"] | None = None
    """How to sort. For example `thorough`."""
    level: Literal[0, 1, 10] | None = None
    """A number among few."""
    single: Literal["only"] | None = None
    many: list[Literal["fast", "thorough"]] | None = None
    """Several. For example `[fast]`."""
    named: dict[str, Literal["fast", 3]] | None = None


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        pytest.param(
            {"sort": "quick"}, "sort", "'quick' is not allowed; must be one of fast, thorough. Example: sort: thorough",
            id="an example of the description",
        ),
        pytest.param(
            {"sort": "throrough"}, "sort", "'throrough' is not allowed; must be one of fast, thorough; did you mean thorough?",
            id="the nearest value in place of the example",
        ),
        pytest.param({"sort": ["fast", 1]}, "sort", "['fast', 1] is not allowed; must be one of fast, thorough", id="a list"),
        pytest.param({"level": 2}, "level", "2 is not allowed; must be one of 0, 1, 10", id="numbers"),
        pytest.param({"single": "x"}, "single", "'x' is not allowed; must be one of only", id="a single value"),
        pytest.param({"many": ["slow"]}, "many[0]", "'slow' is not allowed; must be one of fast, thorough. Example: many: [fast]", id="an item"),
        pytest.param({"named": {"a": 4}}, "named.a", "4 is not allowed; must be one of fast, 3", id="a value of a mapping"),
    ],
)  # fmt: skip
def test_a_value_that_is_no_choice_is_answered_with_the_choices(fields: dict, path: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate(fields)
    (error,) = caught.value.errors()
    found, sentence = describe_error(error, Sample)
    assert dotted(found) == path
    assert sentence.startswith(says)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("learningRate: 2e-4", "learningRate: -1\n    seed: x\n    warmup: 3")
    assert len(problems_of(tmp_path, text)) == 3


def test_text_that_is_not_yaml_names_the_line(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "a: [1, 2\nb: 3\n")
    assert problem.startswith("job.yaml:2: not YAML:")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("[" * 1_000_000, 1, id="brackets that never close"),
        pytest.param("a: 1\nb: " + "[" * 20 + "]" * 20, 2, id="one level more than is allowed"),
        pytest.param(f"a: &a {'[' * 10}{']' * 10}\nb: {'[' * 10}*a{']' * 10}", 1, id="behind an alias"),
        pytest.param("a: &a [*a]", 1, id="a list that holds itself"),
    ],
)
def test_text_that_is_nested_too_deeply_is_refused(tmp_path: Path, text: str, line: int) -> None:
    assert problems_of(tmp_path, text) == [f"job.yaml:{line}: is nested too deeply; allowed are 20 levels"]


def test_twenty_levels_are_allowed(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "a: " + "[" * 19 + "]" * 19)
    assert "nested" not in problem


def test_a_folder_that_is_named_as_a_manifest_is_none(tmp_path: Path) -> None:
    (tmp_path / "all" / "old.yaml").mkdir(parents=True)
    with pytest.raises(ManifestError, match="holds no .yaml"):
        load_manifests([tmp_path / "all"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="gone.yaml: no such file"):
        load_manifests([tmp_path / "gone.yaml"])


def test_an_empty_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(ManifestError, match="holds no manifest"):
        load_manifests([tmp_path / "empty.yaml"])
    (tmp_path / "folder").mkdir()
    with pytest.raises(ManifestError, match="holds no .yaml"):
        load_manifests([tmp_path / "folder"])


@pytest.mark.parametrize("name", ["name: ../x", "name: 7up", f"name: {49 * 'a'}", "labels: {}"])
def test_a_wrong_name_is_named_beside_the_other_mistakes(tmp_path: Path, name: str) -> None:
    other, of_name = problems_of(tmp_path, GOOD.replace("2e-4", "fast").replace("name: reviews", name))
    assert "spec.training.learningRate" in other
    assert "job.yaml:3: metadata.name: must be a DNS label of at most 48 characters" in of_name
    assert of_name.endswith("Example: reviews")


def test_a_name_of_another_type_is_named_once(tmp_path: Path) -> None:
    found = problems_of(tmp_path, GOOD.replace("2e-4", "fast").replace("name: reviews", "name: [a]"))
    assert len([line for line in found if "metadata.name" in line]) == 1
