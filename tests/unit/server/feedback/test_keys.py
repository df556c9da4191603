"""The keys of feedback, in a file that changes under the server."""

from __future__ import annotations

import pytest
from feedback_in_memory import KEY, FeedbackServer
from log_records import messages_of

from tuneloop_server.errors import CannotServe
from tuneloop_server.feedback.errors import RefusedFeedback
from tuneloop_server.feedback.keys import keys_of

NEW = "n" * 32


def test_a_new_key_signs_and_the_one_before_is_accepted(tmp_path):
    server = FeedbackServer(tmp_path)
    before = server.predict()
    server.rotate(f"{NEW}\n{KEY}\n")
    after = server.predict()
    assert server.take(before, "positive") == server.take(after, "positive") == (1, 0)
    server.rotate(NEW)
    with pytest.raises(RefusedFeedback, match="signed with another key"):
        server.take(before, "positive")
    assert server.take(after, "positive") == (0, 1)


@pytest.mark.parametrize("damage", ["", "short", "\n".join(str(number) * 32 for number in range(5))])
def test_where_new_keys_cannot_be_used_those_before_stay(tmp_path, damage):
    server = FeedbackServer(tmp_path)
    token = server.predict()
    server.rotate(damage)
    with messages_of("tuneloop_server.feedback.keys") as messages:
        assert server.take(token, "positive") == (1, 0)
        server.seconds += 60
        server.take(token, "positive")
    (message,) = messages
    assert message.endswith("the keys before stay")


def test_a_file_that_is_gone_changes_nothing(tmp_path):
    server = FeedbackServer(tmp_path)
    server.file.unlink()
    server.seconds += 60
    assert server.take(server.predict(), "positive") == (1, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no key; one key a line is expected"),
        ("s3cret", "key 1 has 6 characters, at least 32 are needed"),
        ("\n".join(str(number) * 32 for number in range(5)), "has 5 keys, and 4 are allowed"),
    ],
)
def test_a_server_without_a_usable_key_does_not_start(tmp_path, text, words):
    with pytest.raises(CannotServe) as refused:
        FeedbackServer(tmp_path, keys=text)
    assert words in str(refused.value)
    assert "the key `keys` of the Secret reviews-feedback" in str(refused.value)
    assert not text or text not in str(refused.value)


def test_keys_stand_on_lines_of_their_own():
    assert keys_of(f"{KEY}\r\n\n  {NEW}  \n{KEY}".encode()) == (KEY.encode(), NEW.encode())
