"""Names in a bucket become names of files, or a sentence: nothing is written elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.objects.storage import RemoteObject
from tuneloop_trainer.objects.listing import ListingError, listed


def objects(*paths: str) -> list[RemoteObject]:
    return [RemoteObject(path=path, size=1, etag=None, version=None) for path in paths]


def names(*paths: str, below: str = "a") -> list[str]:
    return [item.name for item in listed(objects(*paths), below=below, wanted=lambda name: not name.endswith(".bin"))]


def test_wanted_objects_are_named_below_the_folder():
    assert names("a/b.csv", "a/c d/ü.csv", "a/x.bin", "a/.hidden/e.csv") == ["b.csv", "c d/ü.csv", ".hidden/e.csv"]


def test_the_object_that_stands_for_the_folder_itself_is_no_file():
    assert names("a", "a/", "a/b.csv") == ["b.csv"]


@pytest.mark.parametrize(
    "path",
    ["a/../b.csv", "a/b/../../c.csv", "a/./b.csv", "a/b//c.csv", "a/b\\..\\c.csv", "a/b\n.csv", "a/\x1b[2J.csv", "a/b\x00.csv", "a/b/", f"a/{'ü' * 128}.csv"],
)  # fmt: skip
def test_a_name_that_no_file_can_have_is_refused(path):
    with pytest.raises(ListingError, match="has a name that no file can have") as refused:
        names(path)
    assert str(refused.value).isprintable()


def test_a_name_of_the_longest_kind_is_a_file():
    assert names(f"a/{'b' * 251}.csv") == [f"{'b' * 251}.csv"]


@pytest.mark.parametrize("other", ["a/b.csv/c.csv", "a/b.csv/d/e.csv"])
def test_what_is_an_object_and_a_folder_is_refused(other):
    with pytest.raises(ListingError, match="'b.csv' is an object, and a folder of objects"):
        names("a/b.csv", other)


@given(st.lists(st.text(alphabet="ab./\\ \n", min_size=1, max_size=12), max_size=6))
def test_whatever_a_bucket_holds_each_file_lies_below_the_folder(keys):
    try:
        found = listed(objects(*(f"a/{key}" for key in keys)), below="a", wanted=lambda _: True)
    except ListingError:
        return
    for item in found:
        assert not {"", ".", ".."} & set(item.name.split("/"))
        assert item.found.path.endswith(item.name)
