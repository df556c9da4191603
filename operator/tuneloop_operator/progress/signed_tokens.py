"""Tokens of service accounts, checked by the keys of the API server, pure: token, keys and time in, the holder out.

TokenReview asks the API server, for which an account needs a right in the whole cluster. The keys are public, and every service account may
read them. What they cannot say: whether the service account still exists. A pod that is gone is found by the store, in both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from tuneloop_operator.cluster.token_reviews import TokenIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHMS = ("RS256", "ES256", "ES384", "ES512")
"""With which an API server signs. `none` and algorithms of a shared secret are not among them."""
_LEEWAY_SECONDS = 60.0
"""By which clocks may differ, as the API server's own check allows."""
_REQUIRED = ["aud", "exp", "iat", "iss", "sub"]


class UnknownKey(Exception):  # noqa: N818  (a finding: the keys may be old)
    """No key that is known has the name that the token gives."""


class UnreadableKeys(ValueError):  # noqa: N818
    """The documents are no issuer with its keys. The message says why."""


@dataclass(frozen=True, kw_only=True)
class SigningKeys:
    """Who signs the tokens of a cluster, and with which keys."""

    issuer: str
    keys: Mapping[str, jwt.PyJWK]
    """By their names (`kid`)."""


def signing_keys(issuer: Any, key_set: Any) -> SigningKeys:
    """Return the keys of a JWK set that can check a signature. Raises UnreadableKeys if there are none."""
    listed = key_set.get("keys") if isinstance(key_set, dict) else None
    if not isinstance(issuer, str) or not issuer:
        raise UnreadableKeys("no issuer is named")
    if not isinstance(listed, list):
        raise UnreadableKeys("no JWK set: a JSON object with the list `keys` is needed")
    keys = {}
    for entry in listed:
        try:
            key = jwt.PyJWK.from_dict(entry)
        except (jwt.PyJWTError, TypeError, AttributeError, ValueError):
            continue  # of another use or kind, which a later API server may add
        if key.key_id and key.algorithm_name in _ALGORITHMS:
            keys[key.key_id] = key
    if not keys:
        raise UnreadableKeys(f"no key with a `kid` and one of the algorithms {', '.join(_ALGORITHMS)}")
    return SigningKeys(issuer=issuer, keys=keys)


def holder_of(token: str, *, keys: SigningKeys, audience: str, now: float) -> TokenIdentity | None:
    """Return who holds a token for this audience; None if the token is not valid. now: seconds since 1970. Raises UnknownKey."""
    try:
        name = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError:
        return None
    if not isinstance(name, str):
        return None
    if name not in keys.keys:
        raise UnknownKey
    try:
        claims = jwt.decode(
            token,
            keys.keys[name],
            algorithms=list(_ALGORITHMS),
            audience=audience,
            issuer=keys.issuer,
            # PyJWT would compare the times with its own clock
            options={"require": _REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
        return _identity(claims) if _is_on_time(claims, now) else None
    except (jwt.PyJWTError, TypeError, AttributeError, LookupError, ValueError):
        return None


def _is_on_time(claims: Mapping[str, Any], now: float) -> bool:
    begins = max(float(claims["iat"]), float(claims.get("nbf", claims["iat"])))
    return begins - _LEEWAY_SECONDS <= now < float(claims["exp"]) + _LEEWAY_SECONDS


def _identity(claims: Mapping[str, Any]) -> TokenIdentity | None:
    """Return the holder; None if the two places that name the service account differ, as no API server writes them."""
    bound = claims["kubernetes.io"]
    username = f"system:serviceaccount:{bound['namespace']}:{bound['serviceaccount']['name']}"
    if claims["sub"] != username:
        return None
    pod = bound.get("pod") or {}
    return TokenIdentity(username=username, pod_name=pod.get("name"), pod_uid=pod.get("uid"))
