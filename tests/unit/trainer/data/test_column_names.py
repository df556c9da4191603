"""Which columns of a file are read, and the advice where one is not there."""

from __future__ import annotations

import pytest

from tuneloop_trainer.data.sources.raw import WantedColumns, column_positions
from tuneloop_trainer.data.sources.read_delimited import read_delimited
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.locate import DataFile

WANTED = WantedColumns(columns={"text": "text", "label": "stars"}, group="user")
ADVICE = "name the columns in data.train[0].columns: {text: …, label: …}"


def positions(*header: str) -> tuple[int, ...]:
    return column_positions(header, wanted=WANTED, file="a.csv", field="data.train[0]")


def test_columns_stand_in_any_order_among_others():
    assert positions("id", "user", "stars", "date", "text") == (4, 2, 1)


@pytest.mark.parametrize(
    ("header", "message", "hint"),
    [
        pytest.param(
            ["Text", "stars", "user"],
            "a.csv: there is no column 'text'; there are 'Text', 'stars', 'user'",
            f"did you mean 'Text'? {ADVICE}",
            id="another letter case",
        ),
        pytest.param(
            ["a", "stars", "user"],
            "a.csv: there is no column 'text'; there are 'a', 'stars', 'user'",
            ADVICE,
            id="none is near",
        ),
        pytest.param([], "a.csv: there is no column 'text'; there are none", ADVICE, id="no columns"),
        pytest.param(
            ["text;stars;user"],
            "a.csv: there is no column 'text'; there are 'text;stars;user'",
            "the cells are separated by ';': save the file with commas as .csv, or with tabs as .tsv",
            id="another separator",
        ),
        pytest.param(
            ["Text;x", "stars", "user"],
            "a.csv: there is no column 'text'; there are 'Text;x', 'stars', 'user'",
            f"did you mean 'Text;x'? {ADVICE}",
            id="a semicolon in one of many names",
        ),
        pytest.param(
            ["text", "stars", "user", "text"],
            "a.csv: the column 'text' stands 2 times; rename the others",
            None,
            id="a name that stands twice",
        ),
        pytest.param(
            ["The best film I have seen this year", "5", "ada"],
            "a.csv: there is no column 'text'; there are 'Xxx xxxx xxxx X xxxx xxxx xxxx xxxx', '5', 'ada'",
            "the first line seems to be a row: put a line with the names of the columns before it",
            id="a row in place of the names",
        ),
    ],
)
def test_a_column_that_cannot_be_found_is_refused_with_advice(header, message, hint):
    with pytest.raises(DataError) as refused:
        positions(*header)
    assert (refused.value.message, refused.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "a.csv: the file is empty; its first line must name the columns", id="nothing"),
        pytest.param("\n\n", "a.csv: the file is empty; its first line must name the columns", id="empty lines"),
        pytest.param('text,"stars\nx,1\n', "a.csv: line 1: the column names cannot be read: the quote is never closed", id="an open quote"),
        pytest.param("\nte\0xt,stars\n", "a.csv: line 2: the column names hold zero bytes: the file is UTF-16, or no text", id="zero bytes"),
    ],
)  # fmt: skip
def test_a_first_line_that_names_no_columns_is_refused(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    file = DataFile(path=tmp_path / "a.csv", format="csv", name="a.csv")
    with pytest.raises(DataError) as refused:
        next(read_delimited(file, wanted=WANTED, field="data.train[0]"))
    assert refused.value.message == message


NAMED = "name the columns in data.train[0].columns: {messages: …}"


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (["id", "prompt", "completion"], f"set data.format: prompt-completion, or {NAMED}"),
        (["prompt", "text"], f"set data.format: text, or {NAMED}"),
        (["prompt", "response"], NAMED),
    ],
    ids=["pairs", "texts", "nothing that is known"],
)
def test_where_the_columns_of_another_format_are_there_the_format_is_offered(header, hint):
    wanted = WantedColumns(columns={"messages": "messages"})
    with pytest.raises(DataError) as refused:
        column_positions(header, wanted=wanted, file="a.jsonl", field="data.train[0]")
    assert refused.value.hint == hint


def test_a_file_without_texts_offers_no_format_that_the_task_may_not_read():
    with pytest.raises(DataError) as refused:
        column_positions(
            ["messages"], wanted=WantedColumns(columns={"text": "text"}), file="a.jsonl", field="data.train[0]"
        )
    assert refused.value.hint == "name the columns in data.train[0].columns: {text: …}"
