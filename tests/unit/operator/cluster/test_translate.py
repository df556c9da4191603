"""Which error an answer of the API server becomes."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_operator.cluster.translate import ListExpired, error_of, no_answer
from tuneloop_operator.errors import AlreadyExists, ClusterError, ClusterUnavailable, Conflict, NotFound, Refused


def status(reason: str, message: str = "by the server", **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "details": details}


TERMINATING = status("Forbidden", causes=[{"reason": "NamespaceTerminating"}])


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        pytest.param(404, status("NotFound", name="reviews"), NotFound, id="no such object"),
        pytest.param(404, status("NotFound"), ClusterUnavailable, id="a kind that is not served yet"),
        pytest.param(404, None, ClusterUnavailable, id="no API server at all"),
        pytest.param(409, status("AlreadyExists", name="reviews"), AlreadyExists, id="created before"),
        pytest.param(409, status("Conflict"), Conflict, id="another version"),
        pytest.param(410, status("Expired"), ListExpired, id="a page too late"),
        pytest.param(400, status("BadRequest"), Refused, id="malformed"),
        pytest.param(403, status("Forbidden"), Refused, id="no right, quota, Pod Security"),
        pytest.param(403, TERMINATING, Refused, id="a namespace that ends"),
        pytest.param(405, status("MethodNotAllowed"), Refused, id="no such verb"),
        pytest.param(413, status("RequestEntityTooLarge"), Refused, id="too large"),
        pytest.param(422, status("Invalid"), Refused, id="against the schema"),
        pytest.param(401, status("Unauthorized"), ClusterUnavailable, id="a token that has ended"),
        pytest.param(408, None, ClusterUnavailable, id="too slow for a proxy"),
        pytest.param(429, status("TooManyRequests"), ClusterUnavailable, id="too many"),
        pytest.param(500, status("InternalError"), ClusterUnavailable, id="a webhook that fails"),
        pytest.param(502, "<html>", ClusterUnavailable, id="a proxy without its server"),
        pytest.param(503, None, ClusterUnavailable, id="starting"),
        pytest.param(504, status("Timeout"), ClusterUnavailable, id="perhaps carried out"),
        pytest.param(302, None, ClusterUnavailable, id="a login page"),
    ],
)
def test_each_answer_has_its_error(code: int, body: Any, expected: type[ClusterError]) -> None:
    assert type(error_of(code, body)) is expected


def test_the_message_is_the_servers_own_on_one_line() -> None:
    assert str(error_of(422, status("Invalid", "spec.a:\n  wrong"))) == "spec.a: wrong"


def test_a_message_without_end_is_cut() -> None:
    assert len(str(error_of(422, status("Invalid", "x" * 10_000)))) == 500


@pytest.mark.parametrize("body", [None, "<html>", [], {"kind": "Pod", "message": "not a Status"}])
def test_an_answer_without_a_message_is_named_by_its_code(body: Any) -> None:
    assert str(error_of(503, body)) == "the API server answered 503"


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("7", {}, 7.0),
        ("7", {"retryAfterSeconds": 3}, 7.0),
        (None, {"retryAfterSeconds": 3}, 3.0),
        (None, {}, 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", {}, 0.0),
        ("-1", {}, 0.0),
        ("86400", {}, 300.0),
    ],
)
def test_the_server_says_how_long_to_wait(header: str | None, details: dict[str, Any], seconds: float) -> None:
    error = error_of(429, status("TooManyRequests", **details), retry_after=header)
    assert isinstance(error, ClusterUnavailable)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("error", "message"),
    [(TimeoutError(), "no answer in time"), (OSError("refused"), "refused"), (ValueError(), "ValueError")],
)
def test_a_missing_answer_has_a_message(error: Exception, message: str) -> None:
    assert str(no_answer(error)) == f"the API server does not answer: {message}"
