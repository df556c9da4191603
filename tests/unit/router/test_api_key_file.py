"""The key file is read line by line. What cannot be used changes nothing, and no key is ever shown."""

from __future__ import annotations

import json

import pytest

from tuneloop_router.api_key_file import ApiKeyFile, keys_of


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (b"", ()),
        (b"\n  \n", ()),
        (b"a", ("a",)),
        (b"a\r\nb\n", ("a", "b")),
        (b"  a  \n\na\n", ("a",)),
        (b"x" * 512, ("x" * 512,)),
    ],
)
def test_a_key_is_a_line(text, keys):
    assert keys_of(text) == keys


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"a\ns3 cret\n", "line 2 is no key"),
        (b"s3cret\x00", "line 1 is no key"),
        (b"s" * 513, "line 1 is no key"),
        (b"s3cret\xff", "byte 7 is not ASCII"),
        (b"\n".join(b"s%d" % number for number in range(101)), "101 keys, and 100 are allowed"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(text, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        keys_of(text)
    assert "s3" not in str(error.value)


def credentials(tmp_path) -> list[str]:
    resource = json.loads((tmp_path / "target").read_text())["resources"][0]
    return [credential["key"] for credential in resource["typed_config"]["credentials"]]


@pytest.fixture
def file(tmp_path) -> ApiKeyFile:
    return ApiKeyFile(str(tmp_path / "source"), target=str(tmp_path / "target"))


def test_without_a_file_there_is_no_key(tmp_path, file, capsys):
    file.refresh()
    file.refresh()
    assert credentials(tmp_path) == []
    assert capsys.readouterr().out.count("No such file or directory; no key is valid") == 1


def test_a_file_that_comes_is_used_and_one_that_goes_or_is_bad_leaves_the_keys(tmp_path, file):
    file.refresh()
    source = tmp_path / "source"
    source.write_text("a\nb\n")
    file.refresh()
    assert credentials(tmp_path) == ["a", "b"]
    source.write_text("c d\n")
    file.refresh()
    source.unlink()
    file.refresh()
    assert credentials(tmp_path) == ["a", "b"]
    source.write_text("c\n")
    file.refresh()
    assert credentials(tmp_path) == ["c"]


def test_only_this_user_may_read_what_envoy_reads(tmp_path, file):
    file.refresh()
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600


def test_what_has_not_changed_is_not_written_again(tmp_path, file):
    (tmp_path / "source").write_text("a\n")
    file.refresh()
    (tmp_path / "target").unlink()
    file.refresh()
    assert not (tmp_path / "target").exists()
