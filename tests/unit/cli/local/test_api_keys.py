"""On one machine a file that a variable names stands for the Secret with the API keys of clients."""

from __future__ import annotations

from tuneloop_cli.local.api_keys import VARIABLE, link_keys, unreadable_keys
from tuneloop_cli.local.references import missing, notes

SPEC = {"model": {"uri": "pvc://demo/artifact"}, "access": {"apiKeySecretRef": {"name": "clients", "key": "keys"}}}


def test_a_variable_that_is_not_there_is_named():
    (refusal,) = missing(SPEC, {})
    assert (refusal.field, VARIABLE in str(refusal)) == ("spec.access.apiKeySecretRef", True)
    assert unreadable_keys(SPEC, {}) == []
    assert notes(SPEC) == [
        f"spec.access.apiKeySecretRef: no Secret or ConfigMap is read, the environment of this command gives {VARIABLE}"
    ]


def test_a_file_that_cannot_be_read_is_named_and_one_that_can_is_not(tmp_path):
    (refusal,) = unreadable_keys(SPEC, {VARIABLE: str(tmp_path / "none")})
    assert f"{VARIABLE}={tmp_path / 'none'} (No such file or directory)" in str(refusal)
    (tmp_path / "keys.txt").write_text("s3cret\n")
    assert unreadable_keys(SPEC, {VARIABLE: str(tmp_path / "keys.txt")}) == []
    assert unreadable_keys({"model": {}}, {VARIABLE: str(tmp_path / "none")}) == []


def test_the_folder_follows_the_file_and_without_the_variable_it_is_empty(tmp_path):
    file, folder = tmp_path / "keys.txt", tmp_path / "session/api-keys"
    file.write_text("first\n")
    link_keys(folder, {VARIABLE: str(file)})
    (tmp_path / "new").write_text("second\n")
    (tmp_path / "new").replace(file)
    assert (folder / "keys").read_text() == "second\n"
    link_keys(folder, {})
    assert list(folder.iterdir()) == []
