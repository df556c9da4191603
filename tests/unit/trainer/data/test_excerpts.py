"""What a bad row holds: whole in the data report, masked in every message, since more people read messages than may read the data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.contract.data_settings import DataSettings, LabelRuleSettings, SourceSettings, ValidationSettings
from tuneloop_api.contract.settings import ModelSettings, Settings
from tuneloop_trainer.data.collect import Collected, LocatedSource, collect
from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.data.report_data import bad_rows_report
from tuneloop_trainer.data.row_table import TRAIN
from tuneloop_trainer.data.sources.excerpt import excerpt_of, masked
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.locate import files_of

if TYPE_CHECKING:
    from pathlib import Path

NAME, NUMBER = "Zephyrine", "4711"
SECRET = f"{NAME} owes {NUMBER}"


def jsonl(**columns: Any) -> str:
    return json.dumps(columns) + "\n"


GOOD_TEXT, GOOD_TAGS = jsonl(text="fine", label="1"), jsonl(tokens=["fine"], tags=["O"])
TEXTS = [
    pytest.param("a.csv", f"text,label\nfine,1\n{SECRET},1,{NAME}\n", id="cells"),
    pytest.param("a.csv", f'text,label\nfine,1\n"{SECRET}" and,1\n', id="quotes"),
    pytest.param("a.csv", f'text,label\nfine,1\n"{SECRET},1\n', id="an open quote"),
    pytest.param("a.jsonl", GOOD_TEXT + f'{{"text": "{SECRET}\n', id="JSON"),
    pytest.param("a.jsonl", GOOD_TEXT + jsonl(text=[SECRET], label="1"), id="a list as a text"),
    pytest.param("a.jsonl", GOOD_TEXT + jsonl(text=SECRET), id="no label"),
    pytest.param("a.jsonl", GOOD_TEXT + jsonl(text="x", label=SECRET), id="a label that is none"),
    pytest.param("a.jsonl", GOOD_TEXT + jsonl(text="x", label=[SECRET]), id="a list as a label"),
]
TAGS = [
    pytest.param("a.conll", f"fine O\n\n{NAME}{NUMBER}\n", id="no tag"),
    pytest.param("a.jsonl", GOOD_TAGS + jsonl(tokens=[NAME, NUMBER], tags=["O"]), id="another length"),
    pytest.param("a.jsonl", GOOD_TAGS + jsonl(tokens=["x"], tags=[NAME + NUMBER]), id="a word as a tag"),
    pytest.param(
        "a.jsonl", GOOD_TAGS + jsonl(tokens=["x", NAME + NUMBER], tags=["B-PER", "I-LOC"]), id="an impossible tag"
    ),
    pytest.param("a.jsonl", GOOD_TAGS + jsonl(tokens=[NAME, NUMBER, " "], tags=["O", "O", "O"]), id="a blank token"),
    pytest.param("a.jsonl", GOOD_TAGS + jsonl(tokens=[NAME, NUMBER, "\ud800"], tags=["O"] * 3), id="half a character"),
]


def read(file: Path, *, task: str, tolerated: float, samples: int = 3) -> Collected:
    rule = LabelRuleSettings(above=0.5, names=["low", "high"]) if task == "text-classification" else None
    source = SourceSettings(uri=f"file://{file}", label_rule=rule)
    rules = ValidationSettings(max_bad_fraction=tolerated, samples=samples)
    settings = Settings(
        model=ModelSettings(uri="file:///m"), task=task, data=DataSettings(train=[source], validate_rows=rules)
    )
    field = "data.train[0]"
    located = LocatedSource(field=field, split=TRAIN, settings=source, files=files_of(source, claims={}, field=field))
    return collect(
        [located],
        row_format=FORMATS["tokens-tags" if task == "token-classification" else "text-label"],
        settings=settings,
        contents=file.with_suffix(".contents"),
        progress=lambda _: None,
    )


@pytest.mark.parametrize(
    ("task", "name", "content"),
    [
        *(pytest.param("text-classification", *case.values, id=case.id) for case in TEXTS),
        *(pytest.param("token-classification", *case.values, id=case.id) for case in TAGS),
    ],
)
def test_no_word_of_a_bad_row_is_in_the_message_and_all_are_in_the_report(task, name, content, tmp_path):
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(DataError) as refused:
        read(file, task=task, tolerated=0.0)
    message = f"{refused.value.message} {refused.value.hint}"
    assert NAME not in message
    assert NUMBER not in message
    assert masked(NAME) in message
    (sample,) = bad_rows_report(read(file, task=task, tolerated=0.9).bad)["samples"]
    assert NAME in sample["excerpt"]
    assert NUMBER in sample["excerpt"]


def test_a_message_shows_no_rows_where_none_are_wanted(tmp_path):
    (tmp_path / "a.jsonl").write_text(GOOD_TEXT + jsonl(text=SECRET))
    with pytest.raises(DataError) as refused:
        read(tmp_path / "a.jsonl", task="text-classification", tolerated=0.0, samples=0)
    assert "1 of 2 rows cannot be used: 1 missing label" in refused.value.message
    assert masked(NAME) not in refused.value.message


@given(st.text())
def test_a_masked_text_has_the_length_of_the_text_and_none_of_its_letters_and_digits(text):
    hidden = masked(text)
    assert len(hidden) == len(text)
    assert not set(filter(str.isalnum, hidden)) - set("Xx0")
    assert masked(hidden) == hidden


def test_the_shape_of_a_text_stays():
    assert str(excerpt_of('{"text": "Well done, Ünal 7", "label', about="line 3").masked) == (
        'line 3: {"xxxx": "Xxxx xxxx, xxxx 0", "xxxxx'
    )
