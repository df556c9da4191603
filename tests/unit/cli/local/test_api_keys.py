"""On one machine a file that a variable names stands for the Secret with the API keys of clients."""

from __future__ import annotations

from tuneloop_cli.local.api_keys import VARIABLE, folder_of, link_keys, unreadable_keys
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


def test_a_file_that_a_folder_lacks_is_named_with_its_secret_and_key(tmp_path):
    (refusal,) = unreadable_keys(SPEC, {VARIABLE: str(tmp_path)})
    assert f"{VARIABLE}={tmp_path / 'clients' / 'keys'} (No such file or directory)" in str(refusal)
    assert "FOLDER/SECRET/KEY" in str(refusal)


def test_the_link_follows_the_file(tmp_path):
    file, volume = tmp_path / "keys.txt", tmp_path / "session/api-keys"
    file.write_text("first\n")
    link_keys(volume, SPEC, {VARIABLE: str(file)})
    (tmp_path / "new").write_text("second\n")
    (tmp_path / "new").replace(file)
    assert (folder_of(volume, secret="clients", key="keys") / "keys").read_text() == "second\n"


def test_each_deployment_has_the_keys_of_its_own_secret(tmp_path):
    volume, given = tmp_path / "session/api-keys", tmp_path / "given"
    for secret, key in (("clients", "keys"), ("clients", "older"), ("partners", "keys")):
        (given / secret).mkdir(parents=True, exist_ok=True)
        (given / secret / key).write_text(f"{key} of {secret}")
        spec = {"access": {"apiKeySecretRef": {"name": secret, "key": key}}}
        assert unreadable_keys(spec, {VARIABLE: str(given)}) == []
        link_keys(volume, spec, {VARIABLE: str(given)})
    linked = {link: link.read_text() for link in volume.rglob("*") if link.is_symlink()}
    assert linked == {
        volume / "clients/keys/keys": "keys of clients",
        volume / "clients/older/keys": "older of clients",
        volume / "partners/keys/keys": "keys of partners",
    }


def test_where_no_key_is_needed_nothing_is_linked(tmp_path):
    link_keys(tmp_path / "session", {"model": {}}, {VARIABLE: str(tmp_path)})
    assert not (tmp_path / "session").exists()
