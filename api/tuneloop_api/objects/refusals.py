"""What an error of object storage means: in words, with what to do, and whether the next try may succeed. Pure.

The client, obstore, has few types of errors, and tells all it knows in their texts: the status, the code in the answer, the kind of network fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.objects.credentials import credentials_hint
from tuneloop_api.wire.printable import printable

if TYPE_CHECKING:
    from tuneloop_api.wire.uris import ObjectPath

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_CERTIFICATE = re.compile(r"InvalidCertificate\((?:\s*Other\(\s*OtherError\()?\s*(\w+)")
_DEBUG = "\n\nDebug source"
_METADATA = ("169.254.169.254", "metadata.google.internal")
_REFUSED = frozenset({401, 403})
_NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 404, 429, 500
_NO_ACCESS = {
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID in the Secret",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY in the Secret",
    "ExpiredToken": "the session has ended: put new credentials into the Secret",
}
"""What to do, by the code of S3's answer."""
_OTHER_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_REGION = "set AWS_REGION in the Secret or in env, for example AWS_REGION: eu-central-1"
_RIGHTS = {
    "s3://": "the credentials need the rights s3:ListBucket on the bucket and s3:GetObject on its objects",
    "gs://": "the credentials need the role Storage Object Viewer on the bucket",
    "az://": "the credentials need the role Storage Blob Data Reader on the container",
}
_RIGHTS_TO_WRITE = {
    "s3://": "the credentials need the rights s3:ListBucket on the bucket, and s3:PutObject, s3:GetObject and s3:DeleteObject on its objects",
    "gs://": "the credentials need the role Storage Object User on the bucket",
    "az://": "the credentials need the role Storage Blob Data Contributor on the container",
}
_ENDPOINT = {
    "s3://": "AWS_ENDPOINT_URL and AWS_REGION",
    "gs://": "GOOGLE_SERVICE_ACCOUNT_KEY and GOOGLE_BASE_URL",
    "az://": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ENDPOINT",
}
_LONGEST = 300


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why object storage did not give what was asked for."""

    what: str
    """Part of a sentence behind the address."""
    hint: str | None = None
    may_pass: bool = False
    """Whether the next try may succeed."""


def refusal_of(error: Exception, place: ObjectPath, *, writes: bool = False) -> Refusal:
    """Return what an error of obstore means. Its text may hold an address with a signature: redact what is shown. writes: whether an object was to be made or deleted."""
    text = str(error)
    if any(host in text for host in _METADATA):
        return Refusal(what="no credentials were found", hint=credentials_hint(place.scheme))
    status, code = _found(_STATUS, text), _found(_CODE, text)
    return _by_answer(int(status or 0), code, place, writes=writes) or _by_text(text, place)


def _by_answer(status: int, code: str | None, place: ObjectPath, *, writes: bool) -> Refusal | None:
    """Return what the storage answered; None if it said nothing that is known. status: of HTTP, 0 without an answer."""
    if status in _REFUSED or code in _NO_ACCESS:
        rights = _RIGHTS_TO_WRITE if writes else _RIGHTS
        return Refusal(
            what=f"access is refused ({code or status})", hint=_NO_ACCESS.get(code or "", rights[place.scheme])
        )
    if status == _NOT_FOUND:
        kind = "container" if place.scheme == "az://" else "bucket"
        return Refusal(
            what=f"there is no {kind} {place.bucket!r}", hint=f"check the name, and {_ENDPOINT[place.scheme]}"
        )
    if status >= _SERVER_ERROR or status == _TOO_MANY:
        hint = "look at what the storage itself says of its state" + (
            "" if writes else "; the job begins again by itself"
        )
        return Refusal(what=f"the storage is busy or has a fault ({code or status})", hint=hint, may_pass=True)
    if code in _OTHER_REGION:
        return Refusal(what="the bucket is in another region", hint=_REGION)
    return None


def _by_text(text: str, place: ObjectPath) -> Refusal:
    """Return what the client's own words mean."""
    if "invalid path" in text:
        return Refusal(
            what=f"an object has a name that no file can have: {_first(text)}", hint="give the object another name"
        )
    if "incorrectly configured region" in text:
        return Refusal(what="the bucket is in another region", hint=_REGION)
    if "HTTP error" in text or "error decoding" in text:
        return _not_reached(text, place)
    return Refusal(what=_first(text), hint=f"check {_ENDPOINT[place.scheme]}")


def _not_reached(text: str, place: ObjectPath) -> Refusal:
    if fault := _found(_CERTIFICATE, text):
        return Refusal(
            what=f"its certificate is not trusted ({fault})",
            hint='add the authority that has signed it to the bundle of trustedCA of the chart (docs/install.md, "Proxies and your own authorities")',
        )
    what = "the storage did not answer in time" if "Timeout" in text else "the storage was not reached, or broke off"
    return Refusal(what=what, hint=f"check {_ENDPOINT[place.scheme]}, and what pods may connect to", may_pass=True)


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def _first(text: str) -> str:
    """Return the text without the client's own view of its error, on one line."""
    return printable(" ".join(text.partition(_DEBUG)[0].split()))[:_LONGEST]
