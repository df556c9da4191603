"""What the client says becomes a sentence, advice, and whether the next try may succeed. The texts are those of obstore 0.12.1."""

from __future__ import annotations

import pytest

from tuneloop_api.objects.refusals import refusal_of
from tuneloop_api.wire.uris import ObjectPath

DEBUG = '\n\nDebug source:\nGeneric {\n    store: "S3",\n'


def answered(status: int, code: str = "", *, scheme: str = "s3://") -> object:
    body = f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>of the server</Message></Error>' if code else ""
    text = f"Generic S3 error: Error performing GET https://storage/b?list-type=2 in 3ms - Server returned non-2xx status code: {status} Words: {body}{DEBUG}"
    return refusal_of(Exception(text), ObjectPath(scheme, "reviews", "2026/a.csv"))


def said(text: str, *, scheme: str = "s3://") -> object:
    return refusal_of(Exception(text + DEBUG), ObjectPath(scheme, "reviews", "2026/a.csv"))


NOT_SENT = "Generic S3 error: Error performing HEAD https://storage/b in 3s - HTTP error: error sending request"


@pytest.mark.parametrize(
    ("refusal", "what", "hint"),
    [
        pytest.param(answered(403, "AccessDenied"), "access is refused (AccessDenied)", "s3:ListBucket", id="no rights"),
        pytest.param(answered(403), "access is refused (403)", "s3:GetObject", id="an answer without content"),
        pytest.param(answered(401, scheme="gs://"), "access is refused (401)", "Storage Object Viewer", id="Google"),
        pytest.param(answered(403, "AuthorizationFailure", scheme="az://"), "access is refused (AuthorizationFailure)", "Storage Blob Data Reader", id="Azure"),
        pytest.param(answered(403, "InvalidAccessKeyId"), "access is refused (InvalidAccessKeyId)", "check AWS_ACCESS_KEY_ID", id="an unknown key"),
        pytest.param(answered(403, "SignatureDoesNotMatch"), "access is refused (SignatureDoesNotMatch)", "check AWS_SECRET_ACCESS_KEY", id="a wrong secret"),
        pytest.param(answered(400, "ExpiredToken"), "access is refused (ExpiredToken)", "put new credentials", id="a session that has ended"),
        pytest.param(answered(404, "NoSuchBucket"), "there is no bucket 'reviews'", "check the name", id="no bucket"),
        pytest.param(answered(404, "ContainerNotFound", scheme="az://"), "there is no container 'reviews'", "AZURE_STORAGE_ACCOUNT_NAME", id="no container"),
        pytest.param(answered(301, "PermanentRedirect"), "the bucket is in another region", "set AWS_REGION", id="another region"),
        pytest.param(said("Received redirect without LOCATION, this normally indicates an incorrectly configured region"), "the bucket is in another region", "set AWS_REGION", id="another region, in words"),
        pytest.param(said('Encountered object with invalid path: Error parsing Path "a/\x1b"'), r'an object has a name that no file can have: Encountered object with invalid path: Error parsing Path "a/\x1b"', "another name", id="a strange name"),
        pytest.param(said("Error performing PUT http://169.254.169.254/latest/api/token in 5s - HTTP error: error sending request"), "no credentials were found", "workload identity", id="the node was asked"),
        pytest.param(said("Error performing GET http://metadata.google.internal/computeMetadata/v1 - HTTP error", scheme="gs://"), "no credentials were found", "GOOGLE_SERVICE_ACCOUNT_KEY", id="Google's metadata"),
        pytest.param(said(f"{NOT_SENT}{DEBUG} error: InvalidCertificate(\n   UnknownIssuer,\n)"), "its certificate is not trusted (UnknownIssuer)", "trustedCA", id="a foreign authority"),
        pytest.param(said(f"{NOT_SENT}{DEBUG} error: InvalidCertificate(\n Other(\n OtherError(\n CaUsedAsEndEntity,\n"), "its certificate is not trusted (CaUsedAsEndEntity)", "trustedCA", id="a self-signed certificate"),
        pytest.param(said("Generic S3 error: something\nnew"), "Generic S3 error: something new", "AWS_ENDPOINT_URL", id="what nobody knows"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do_and_is_not_tried_again(refusal, what, hint):
    assert (refusal.what, refusal.may_pass) == (what, False)
    assert hint in refusal.hint


def test_a_busy_storage_that_is_written_to_is_no_matter_of_a_job():
    busy = Exception("Server returned non-2xx status code: 503 Words")
    refusal = refusal_of(busy, ObjectPath("s3://", "reviews", "2026/a.csv"), writes=True)
    assert (refusal.hint, refusal.may_pass) == ("look at what the storage itself says of its state", True)


@pytest.mark.parametrize(
    ("refusal", "what"),
    [
        pytest.param(answered(503, "SlowDown"), "the storage is busy or has a fault (SlowDown)", id="busy"),
        pytest.param(answered(429), "the storage is busy or has a fault (429)", id="too many requests"),
        pytest.param(answered(500), "the storage is busy or has a fault (500)", id="a fault"),
        pytest.param(said(f"{NOT_SENT}{DEBUG} kind: Timeout"), "the storage did not answer in time", id="silent"),
        pytest.param(said(f"{NOT_SENT}{DEBUG} kind: Connect"), "the storage was not reached, or broke off", id="away"),
        pytest.param(said("Generic S3 error: HTTP error: request or response body error"), "the storage was not reached, or broke off", id="broke off"),
    ],
)  # fmt: skip
def test_what_may_pass_is_tried_again(refusal, what):
    assert (refusal.what, refusal.may_pass) == (what, True)
    assert refusal.hint
