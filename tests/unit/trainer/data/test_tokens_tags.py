"""Words with tags: read from every kind of file, checked, and written in one scheme."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuneloop_api.contract.data_settings import (
    DataSettings,
    LabelRuleSettings,
    SourceSettings,
    SplitSettings,
    ValidationSettings,
)
from tuneloop_api.contract.settings import ModelSettings, Settings
from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.collect import Collected, LocatedSource, collect
from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.data.pipeline import STEPS, run_steps
from tuneloop_trainer.data.row_table import TEST, TRAIN, VALIDATION, RowTable
from tuneloop_trainer.data.steps.split import divide
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.locate import files_of

Sentence = tuple[list[str], list[str]]
SENTENCES: list[Sentence] = [
    (["Ada", "Lovelace", "met", "Bob"], ["B-PER", "I-PER", "O", "B-PER"]),
    (["rain", "in", "Paris"], ["O", "O", "B-LOC"]),
    (["no", "names"], ["O", "O"]),
]


def tag_settings(
    paths: list[Path], *, labels: list[str] | None = None, tolerated: float = 0.0, **source: Any
) -> Settings:
    return Settings(
        model=ModelSettings(uri="file:///m", labels=labels),
        task="token-classification",
        data=DataSettings(
            train=[SourceSettings(uri=f"file://{path}", **source) for path in paths],
            validate_rows=ValidationSettings(max_bad_fraction=tolerated),
        ),
    )


def collected(*paths: Path, settings: Settings | None = None, **options: Any) -> Collected:
    settings = settings or tag_settings(list(paths), **options)
    sources = [
        LocatedSource(
            field=f"data.train[{index}]",
            split=TRAIN,
            settings=source,
            files=files_of(source, claims={}, field=f"data.train[{index}]"),
        )
        for index, source in enumerate(settings.data.train)
    ]
    return collect(
        sources,
        row_format=FORMATS["tokens-tags"],
        settings=settings,
        contents=paths[0].parent / ".rows",
        progress=lambda _done: None,
    )


def rows_of(*paths: Path, **options: Any) -> list[Sentence]:
    return [(row["tokens"], row["tags"]) for batch in collected(*paths, **options).table.read() for row in batch]


def conll(path: Path, sentences: list[Sentence], *, separator: str = " ") -> Path:
    lines = [
        [separator.join((token, "-X-", tag)) for token, tag in zip(*sentence, strict=True)] for sentence in sentences
    ]
    path.write_text("\n\n".join("\n".join(sentence) for sentence in lines) + "\n")
    return path


def write(path: Path, sentences: list[Sentence]) -> Path:
    """Write sentences in the format that the file's name says."""
    tokens, tags = [tokens for tokens, _ in sentences], [tags for _, tags in sentences]
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.table({"tokens": tokens, "tags": tags}), path)
        case ".jsonl":
            path.write_text("".join(json.dumps({"tokens": t, "tags": g}) + "\n" for t, g in sentences))
        case ".csv" | ".tsv":
            cells = "," if path.suffix == ".csv" else "\t"
            lines = [("tokens", "tags"), *((" ".join(t), " ".join(g)) for t, g in sentences)]
            path.write_text("".join(cells.join(line) + "\n" for line in lines))
        case _:
            conll(path, sentences, separator="\t" if path.suffix == ".bio" else " ")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".csv", ".tsv", ".conll", ".bio", ".iob"])
def test_every_kind_of_file_gives_the_same_sentences(tmp_path, suffix):
    assert rows_of(write(tmp_path / f"a{suffix}", SENTENCES)) == SENTENCES
    assert rows_of(tmp_path / f"a{suffix}", limit=2) == SENTENCES[:2]


def test_a_limit_counts_the_rows_of_all_files_of_a_source(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.conll", "b.jsonl", "c.conll"):
        write(folder / name, SENTENCES)
    assert rows_of(folder) == SENTENCES * 3
    assert rows_of(folder, limit=4) == (SENTENCES * 3)[:4]
    assert rows_of(folder, limit=3) == SENTENCES


def test_tags_of_a_saved_data_set_are_read_by_their_names(tmp_path):
    datasets = pytest.importorskip("datasets")
    names = ["O", "B-PER", "I-PER", "B-LOC"]
    features = datasets.Features(
        {
            "tokens": datasets.Sequence(datasets.Value("string")),
            "tags": datasets.Sequence(datasets.ClassLabel(names=names)),
        }
    )
    columns = {
        "tokens": [t for t, _ in SENTENCES],
        "tags": [[names.index(tag) for tag in tags] for _, tags in SENTENCES],
    }
    saved = datasets.Dataset.from_dict(columns, features=features)
    saved.save_to_disk(str(tmp_path / "saved"), num_shards=2)
    saved.to_parquet(str(tmp_path / "a.parquet"))
    assert len(list((tmp_path / "saved").glob("*.arrow"))) == 2
    assert rows_of(tmp_path / "saved") == rows_of(tmp_path / "a.parquet") == SENTENCES


def test_documents_and_empty_lines_of_a_conll_file_end_sentences_and_lines_keep_their_numbers(tmp_path):
    (tmp_path / "a.conll").write_text("-DOCSTART- -X- O\n\n\nAda B-PER\nmet O\n-DOCSTART- -X- O\nParis B-LOC\n \nend O")
    table = collected(tmp_path / "a.conll").table
    assert [row["tokens"] for batch in table.read() for row in batch] == [["Ada", "met"], ["Paris"], ["end"]]
    assert [table.place(index).rpartition("line ")[2] for index in range(3)] == ["4", "7", "9"]


def test_other_schemes_are_found_and_written_as_iob2_or_as_bioes_where_a_source_has_it(tmp_path):
    iob1 = conll(tmp_path / "iob1.conll", [(["Ada", "Lovelace", "Bob", "x"], ["I-PER", "I-PER", "B-PER", "O"])])
    bioes = conll(tmp_path / "bioes.conll", [(["Ada", "Lovelace", "x", "Bob"], ["B-PER", "E-PER", "O", "S-PER"])])
    assert rows_of(iob1)[0][1] == ["B-PER", "I-PER", "B-PER", "O"]
    assert [tags for _, tags in rows_of(iob1, bioes)] == [
        ["B-PER", "E-PER", "S-PER", "O"],
        ["B-PER", "E-PER", "O", "S-PER"],
    ]
    assert collected(iob1, bioes).format_facts == {"tagSchemes": ["iob1", "bioes"], "writtenAs": "bioes"}


def test_a_scheme_that_is_named_is_not_guessed(tmp_path):
    settings = tag_settings([conll(tmp_path / "a.conll", [(["Ada", "x"], ["I-PER", "O"])])])
    named = changed(settings, task_options=changed(settings.task_options, tag_scheme="iob2"))
    with pytest.raises(
        DataError, match="impossible tag .*token 1, I-PER after O: IOB2 begins a span with B-: 'Xxx' X-XXX"
    ):
        collected(tmp_path / "a.conll", settings=named)


def test_the_labels_of_the_model_say_how_tags_are_written(tmp_path):
    path = conll(tmp_path / "a.conll", [(["Ada", "x"], ["B-PER", "O"])])
    assert rows_of(path, labels=["O", "B-PER", "I-PER", "E-PER", "S-PER"])[0][1] == ["S-PER", "O"]


@pytest.mark.parametrize(
    ("tokens", "tags", "reason", "shown"),
    [
        pytest.param(["a", "b"], ["O"], "not as many tags as tokens", "2 tokens, 1 tags: a b", id="lengths"),
        pytest.param(
            ["in", "Paris"],
            ["O", "I-LOC"],
            "impossible tag",
            "token 2, I-LOC after O: IOB2 begins a span with B-: 'Paris' I-LOC",
            id="I- alone",
        ),
        pytest.param(
            ["a"],
            ["noun"],
            "impossible tag",
            "token 1, no tag: O, or B-, I-, E- or S- with a type, such as B-PER: 'a' noun",
            id="no tag",
        ),
        pytest.param([], ["O"], "missing tokens", "", id="no tokens"),
        pytest.param(None, ["O"], "missing tokens", "", id="null tokens"),
        pytest.param(["a"], [], "missing tags", "", id="no tags"),
        pytest.param([7], ["O"], "tokens are not a list of strings", "[7]", id="a number as a token"),
        pytest.param(["a"], [3], "tags are not a list of strings", "[3]", id="a number as a tag"),
        pytest.param(["a", " "], ["O", "O"], "blank token", "token 2: a", id="a blank token"),
        pytest.param(["half \ud800"], ["O"], "text is not valid Unicode", "half", id="half a character"),
        pytest.param(["a"], ["B-" + "x" * 127], "label is longer than 128 characters", "B-xxx", id="a long tag"),
        pytest.param(["a"], ["B-\ud800"], "label is not valid Unicode", "B-", id="half a character in a tag"),
    ],
)
def test_a_sentence_that_cannot_be_used_is_a_bad_row_with_its_reason(tmp_path, tokens, tags, reason, shown):
    good = [{"tokens": t, "tags": g} for t, g in SENTENCES]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*good, {"tokens": tokens, "tags": tags}]))
    found = collected(path, tolerated=0.5)
    (sample,) = found.bad.samples
    assert (sample.reason, sample.place.rpartition("line ")[2]) == (reason, "4")
    assert shown in str(sample.excerpt)
    assert len(found.table.row_ids) == len(SENTENCES)


def test_a_token_without_a_tag_in_a_conll_file_is_named_by_its_line(tmp_path):
    (tmp_path / "a.conll").write_text("Ada B-PER\n\nand O\nBob\n")
    with pytest.raises(DataError, match=r"missing tags \(line 4 has a token and no tag: Xxx\)"):
        collected(tmp_path / "a.conll")


def test_a_tag_that_the_model_does_not_have_is_named(tmp_path):
    path = write(tmp_path / "a.conll", SENTENCES)
    with pytest.raises(DataError, match="unknown tag .*token 3, B-LOC is not in model.labels: 'Xxxxx'"):
        collected(path, labels=["O", "B-PER", "I-PER"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["PER", "O"], "model.labels: 'PER' is no tag"), (["B-PER", "I-PER"], "model.labels: B-PER, I-PER lacks O")],
)
def test_labels_that_are_no_tags_are_refused(tmp_path, labels, message):
    with pytest.raises(ConfigError, match=message):
        collected(write(tmp_path / "a.conll", SENTENCES), labels=labels)


def test_settings_of_texts_with_a_label_are_refused(tmp_path):
    path = write(tmp_path / "a.conll", SENTENCES)
    with pytest.raises(ConfigError, match=r"data.train\[0\].labelRule: a tag is no number"):
        collected(path, label_rule=LabelRuleSettings(above=0.0, names=["a", "b"]))
    stratified = tag_settings([path])
    data = changed(stratified.data, split=SplitSettings(method="random", stratify=True))
    with pytest.raises(ConfigError, match="cannot be stratified by tags"):
        collected(path, settings=changed(stratified, data=data))


def test_all_prefixes_of_each_type_are_labels_and_types_are_the_classes():
    row_format = FORMATS["tokens-tags"]
    assert row_format.label_names({"O", "B-PER", "B-LOC"}) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert row_format.label_names({"O", "S-PER"}) == ["O", "B-PER", "I-PER", "E-PER", "S-PER"]
    assert [row_format.class_of(label) for label in ("O", "B-PER", "E-PER")] == [None, "PER", "PER"]


def many(count: int, kinds: list[str]) -> list[Sentence]:
    return [([f"word{index}", "x"], [f"B-{kinds[index % len(kinds)]}", "O"]) for index in range(count)]


def stepped(path: Path, settings: Settings) -> RowTable:
    table = collected(path, settings=settings).table
    return run_steps(table, STEPS, settings=settings, folder=path.parent, progress=lambda _done: None)[0]


def test_sentences_are_divided_by_chance_alone(tmp_path):
    settings = tag_settings([write(tmp_path / "a.jsonl", many(300, ["PER", "LOC"]))])
    asked = changed(settings, data=changed(settings.data, split=SplitSettings(method="random")))
    table = stepped(tmp_path / "a.jsonl", asked)
    fractions = {VALIDATION: 0.1, TEST: 0.1}
    alone = divide(keys=table.text_keys, strata=np.zeros(300, np.int32), fractions=fractions, settings=asked.data.split)
    assert table.splits.tolist() == alone.tolist()
    assert table.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_a_type_that_a_split_lacks_is_refused_with_advice(tmp_path):
    path = write(tmp_path / "a.jsonl", [*many(300, ["PER"]), (["Paris"], ["B-LOC"])])
    with pytest.raises(DataError, match="the class 'LOC' has no row in the .* split; it has 1 in all") as refused:
        stepped(path, tag_settings([path]))
    assert "another data.split.seed" in refused.value.hint
    assert "stratified" not in refused.value.hint


def test_sentences_without_any_span_are_nothing_to_learn(tmp_path):
    path = write(tmp_path / "a.jsonl", [([f"word{index}"], ["O"]) for index in range(20)])
    with pytest.raises(DataError, match="all tags are O"):
        stepped(path, tag_settings([path]))


def test_the_same_sentence_with_other_tags_is_a_conflict(tmp_path):
    path = write(tmp_path / "a.jsonl", [*many(300, ["PER"]), (["WORD0", "x"], ["O", "B-PER"])])
    table = collected(path).table
    facts = run_steps(table, STEPS, settings=tag_settings([path]), folder=tmp_path, progress=lambda _done: None)[1]
    found = facts["exact-duplicates"]
    assert (found["withinSplit"], found["conflictingLabels"]) == (1, 1)
    assert found["firstConflict"].endswith("line 301")
