"""TokenReview: the API server says who holds a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"
PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


@dataclass(frozen=True, kw_only=True)
class TokenIdentity:
    """Who holds a token, by the TokenReview of the API server."""

    username: str
    pod_name: str | None = None
    """None if the token is not bound to a pod."""
    pod_uid: str | None = None


def review_manifest(token: str, *, audience: str) -> dict[str, Any]:
    """Return a TokenReview that asks whether a token is valid for this audience."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }


def identity_of(review: dict[str, Any], *, audience: str) -> TokenIdentity | None:
    """Return who holds the token; None if the token is not valid.

    An API server whose answer names no audience has not compared audiences. A token for another audience would pass, so it is rejected.
    """
    status = review.get("status") or {}
    if not status.get("authenticated") or audience not in (status.get("audiences") or ()):
        return None
    user = status.get("user") or {}
    extra = user.get("extra") or {}
    return TokenIdentity(
        username=user.get("username", ""),
        pod_name=next(iter(extra.get(_POD_NAME) or ()), None),
        pod_uid=next(iter(extra.get(_POD_UID) or ()), None),
    )
