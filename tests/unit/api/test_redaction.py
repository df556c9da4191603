"""What is shown of a process's last lines: little of it, and no secret."""

import pytest

from tuneloop_api.contract.redaction import last_lines, redact
from tuneloop_api.wire.object_credentials import CREDENTIALS

PUBLIC = {"AZURE_STORAGE_ACCOUNT_NAME", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"}
"""Names of accounts, which open nothing."""


def test_the_newest_lines_are_kept_short_and_plain():
    lines = last_lines(
        [*(f"line {number}" for number in range(30)), " ", "\x1b[31mred\x1b[0m\r", "x" * 500], environment={}
    )
    assert lines[:-2] == [f"line {number}" for number in range(12, 30)]
    assert lines[-2:] == ["red", "x" * 199 + "…"]


def test_no_line_steers_a_terminal():
    assert last_lines(["\x9b2J \u202e"], environment={}) == [r"\x9b2J \u202e"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token is opensesame!", "token is ***!"),
        ("hf_abcdefghijklmnopqrst failed", "hf_*** failed"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("at https://me:word@host/path", "at https://***@host/path"),
        ("at https://me:wo@rd@host/path", "at https://***@host/path"),
        ("for url: https://cdn/a?X-Amz-Signature=ab12&part=1", "for url: https://cdn/a?X-Amz-Signature=***&part=1"),
        ("https://cdn/a?sv=1&sig=a%2Fb%3D, again", "https://cdn/a?sv=1&sig=***, again"),
        ("https://host/a?access_token=abc&Key-Pair-Id=K1", "https://host/a?access_token=***&Key-Pair-Id=K1"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "***"),
        ("an ordinary line about a token", "an ordinary line about a token"),
        ("the bearer of bad news", "the bearer of bad news"),
    ],
)
def test_what_is_or_looks_like_a_secret_is_hidden(text, shown):
    assert redact(text, {"HF_TOKEN": "opensesame", "MY_PASSWORD": "an", "HOME": "ordinary"}) == shown


@pytest.mark.parametrize("text", ["connected to db-canary", "db-canary", "password: db-canary!"])
def test_the_value_of_a_variable_from_a_secret_is_hidden_whatever_its_name(text):
    environment = {"TUNELOOP_SECRET_VARIABLES": "OTHER,DATABASE", "DATABASE": "db-canary", "HOME": "password"}
    assert redact(text, environment) == text.replace("db-canary", "***")
    assert redact(text, {"DATABASE": "db-canary"}) == text


def test_a_secret_of_several_lines_is_hidden_line_by_line():
    environment = {"SIGNING_SECRET": "-----BEGIN-----\nMIIBcanary\n-----END-----\n"}
    lines = redact("the key is MIIBcanary", environment), redact("-----END-----", environment)
    assert lines == ("the key is ***", "***")


@pytest.mark.parametrize(
    "name", [name for names in CREDENTIALS.values() for name in names.credentials if name not in PUBLIC]
)
def test_what_opens_a_bucket_is_hidden(name):
    assert redact("opened with canary-of-a-bucket", {name: "canary-of-a-bucket"}) == "opened with ***"
