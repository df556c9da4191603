"""The exported model beside a champion: two real artifacts, through the real export."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from champions import LABELS, champion_of, comparison_in, good_run, informed_bert
from finished_runs import RunMaker, invented_rows

from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.export.champion.artifact import open_champion
from tuneloop_trainer.export.champion.preview import notes_on_champion
from tuneloop_trainer.export.champion.rows import recent_rows
from tuneloop_trainer.export.stage import export
from tuneloop_trainer.export.verify import verify_artifact


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    return informed_bert(tmp_path_factory.mktemp("base") / "model", tiny_bert)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, base: Path) -> Path:
    """The artifact of an earlier run."""
    runs = RunMaker(folder=tmp_path_factory.mktemp("served"), tiny_bert=tiny_bert)
    return Path(export(good_run(runs, base, place="served"), Quiet()).artifact_path)


class Quiet:
    def post(self, **_fields: object) -> None: ...


def compared(runs, base, posts, champion: Path, **evaluation):
    """Export a run beside a champion; return the result and what its artifact says."""
    asked = {"uri": f"file://{champion}"} | evaluation.pop("compare_with", {})
    result = export(good_run(runs, base, place="now", compare_with=asked, **evaluation), posts)
    return result, comparison_in(Path(result.artifact_path))


def test_the_same_model_is_inconclusive_without_a_discordant_pair(runs, base, posts, served):
    result, found = compared(runs, base, posts, served)
    (golden,) = found.sets
    assert (golden.rows, golden.challenger_only, golden.champion_only) == (150, 0, 0)
    assert found.verdict == result.comparison.verdict == "Inconclusive"
    assert found.champion.model_digest == found.challenger.model_digest
    assert golden.champion_calibration_error == golden.challenger_calibration_error
    assert golden.challenger == next(metric.value for metric in result.metrics if metric.name == "accuracy")
    verify_artifact(Path(result.artifact_path), result.digest)


def test_classes_are_compared_by_name_whatever_their_order(runs, base, posts, served, tmp_path):
    champion = champion_of(served, tmp_path / "reordered", swap_names=True, swap_head=True)
    _, found = compared(runs, base, posts, champion)
    assert found.sets[0].challenger_only + found.sets[0].champion_only == 0
    assert found.champion.model_digest != found.challenger.model_digest


def test_a_champion_with_swapped_classes_is_beaten_on_every_row_that_the_challenger_has_right(
    runs, base, posts, served, tmp_path
):
    champion = champion_of(served, tmp_path / "swapped", swap_head=True)
    result, found = compared(runs, base, posts, champion)
    (golden,) = found.sets
    right = round(golden.challenger * golden.rows)
    assert right > 120
    assert (golden.challenger_only, golden.champion_only) == (right, golden.rows - right)
    assert golden.method == "paired-exact"
    assert found.verdict == result.comparison.verdict == "Better"
    assert {part.name for part in golden.slices} == set(LABELS)
    assert result.comparison.champion_digest == verify_artifact(champion, None).digest()


def test_a_challenger_with_swapped_classes_is_worse(runs, base, posts, served, tmp_path):
    swapped = champion_of(served, tmp_path / "swapped", swap_head=True) / "model"
    _, found = compared(runs, swapped, posts, served)
    assert found.verdict == "Worse"
    assert found.message.startswith(
        "worse on negative of the golden set, positive of the golden set; worse on 150 golden rows"
    )


def test_recent_rows_that_the_model_has_learned_from_are_left_out_and_counted(runs, base, posts, served, tmp_path):
    learned = [(row.text, row.label) for row in invented_rows(600)[:40]]
    new = [(f"{row.text} the", row.label) for row in invented_rows(600)[:120]]
    source = rows_file(tmp_path / "week.csv", [*learned, *new, *new[:3]])
    champion = champion_of(served, tmp_path / "swapped", swap_head=True)
    result, found = compared(runs, base, posts, champion, compare_with={"recent": [{"uri": f"file://{source}"}]})
    golden, recent = found.sets
    assert (recent.rows, recent.left_out) == (120, 43)
    assert (golden.verdict, recent.verdict, found.verdict) == ("NotInferior", "Better", "Better")
    assert [part.name for part in result.comparison.sets] == ["golden", "recent"]


def test_recent_rows_that_are_all_known_are_refused(runs, base, tmp_path):
    source = rows_file(tmp_path / "week.csv", [(row.text, row.label) for row in invented_rows(600)[:20]])
    beside = {"uri": "file:///served", "recent": [{"uri": f"file://{source}"}]}
    config = good_run(runs, base, place="now", compare_with=beside)
    with pytest.raises(DataError, match="all 20 rows have texts that stand among the rows of training or validation"):
        recent_rows(config, Path(config.paths.datasets) / "d1", labels=LABELS)


def test_two_exports_give_the_same_artifact(runs, base, posts, served, tmp_path):
    champion = champion_of(served, tmp_path / "swapped", swap_head=True)
    config = good_run(runs, base, place="now", compare_with={"uri": f"file://{champion}"})
    assert export(config, posts).digest == export(config, posts).digest


def damaged(folder: Path) -> dict[str, str]:
    path = folder / "model/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    return {}


def other_task(folder: Path) -> dict[str, str]:
    return edited(folder, task="token-classification")


def other_labels(folder: Path) -> dict[str, str]:
    return edited(folder, labels=["negative", "neutral"])


def no_temperature(folder: Path) -> dict[str, str]:
    return edited(folder, temperature=0)


def other_digest(folder: Path) -> dict[str, str]:
    return {"digest": f"sha256:{64 * '0'}"}


def gone(folder: Path) -> dict[str, str]:
    return {"uri": f"file://{folder}-gone"}


def edited(folder: Path, **fields: object) -> dict[str, str]:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest | fields))
    return {}


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (damaged, "is no whole artifact: .*model.safetensors: is damaged: its SHA-256 is"),
        (other_digest, "is no whole artifact: .*manifest.json: has the digest sha256:.*, sha256:0+ is expected"),
        (gone, "is no whole artifact: .*manifest.json: cannot be read: No such file or directory"),
        (other_task, "is a model for token-classification, this job is for text-classification"),
        (
            no_temperature,
            "is no whole artifact: .*manifest.json: is no manifest of an artifact: 1 validation error for Manifest\ntemperature",
        ),
        (other_labels, "has the labels negative, neutral; this job has negative, positive"),
    ],
)
def test_a_champion_that_cannot_be_compared_is_an_error_with_a_sentence(runs, base, served, tmp_path, harm, sentence):
    champion = champion_of(served, tmp_path / "harmed")
    asked = {"uri": f"file://{champion}"} | harm(champion)
    config = good_run(runs, base, place="now", compare_with=asked)
    with pytest.raises(ConfigError, match=f"evaluation.compareWith: .*{sentence}"):
        open_champion(config, labels=LABELS)


def test_a_champion_that_was_damaged_after_training_fails_the_export_and_leaves_no_artifact(
    runs, base, posts, served, tmp_path
):
    champion = champion_of(served, tmp_path / "harmed")
    damaged(champion)
    config = good_run(runs, base, place="now", compare_with={"uri": f"file://{champion}"})
    with pytest.raises(ConfigError, match="model.safetensors: is damaged"):
        export(config, posts)
    assert not (Path(config.paths.job_dir) / "artifact").exists()


@pytest.fixture
def other_tokenizer(served, tmp_path) -> Path:
    """The artifact, whole by its manifest, with two words of its tokenizer swapped."""
    champion = champion_of(served, tmp_path / "harmed")
    path = champion / "model/tokenizer.json"
    tokens = json.loads(path.read_bytes())
    vocabulary = tokens["model"]["vocab"]
    vocabulary["good"], vocabulary["bad"] = vocabulary["bad"], vocabulary["good"]
    path.write_text(json.dumps(tokens))
    return champion_of(champion, tmp_path / "whole")


def test_a_champion_with_another_tokenizer_is_refused(runs, base, posts, other_tokenizer):
    with pytest.raises(ConfigError, match="the champion's tokenizer reads row [0-9]+ of the golden set otherwise"):
        compared(runs, base, posts, other_tokenizer)


def previewed(runs, base, champion: Path, **asked):
    """Return what `prepare` says of a champion."""
    place = f"now-{len(asked)}"
    config = good_run(runs, base, place=place, compare_with={"uri": f"file://{champion}", **asked})
    return notes_on_champion(config, Path(config.paths.datasets) / "d1", labels=LABELS)


def test_a_champion_with_another_tokenizer_is_refused_before_any_gpu_is_held(runs, base, other_tokenizer):
    with pytest.raises(ConfigError, match="the champion's tokenizer reads row [0-9]+ of the golden set otherwise"):
        previewed(runs, base, other_tokenizer)


def test_a_champion_whose_tokenizer_is_damaged_is_refused_before_any_gpu_is_held(runs, base, served, tmp_path):
    champion = champion_of(served, tmp_path / "harmed")
    (champion / "model/tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="the champion's tokenizer cannot be loaded: "):
        previewed(runs, base, champion_of(champion, tmp_path / "whole"))


def test_a_champion_that_can_be_compared_has_no_note_but_of_its_recent_rows(runs, base, served, tmp_path):
    assert previewed(runs, base, served) == []
    source = rows_file(tmp_path / "week.csv", [("a new one, fine and good", "positive")])
    assert previewed(runs, base, served, recent=[{"uri": f"file://{source}"}]) == [
        "1 recent rows are compared with the champion"
    ]


def rows_file(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path
