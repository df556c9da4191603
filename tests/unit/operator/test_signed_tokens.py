"""Tokens that are checked by keys: what makes one good, what makes it bad, and how often the keys are read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_operator.cluster.token_reviews import TokenIdentity
from tuneloop_operator.errors import ClusterUnavailable
from tuneloop_operator.progress.key_reviewer import KeyReviewer, keys_of_api_server
from tuneloop_operator.progress.signed_tokens import SigningKeys, UnknownKey, UnreadableKeys, holder_of, signing_keys

ISSUER, AUDIENCE, NOW = "https://kubernetes.default.svc", "tuneloop.dev/job", 1_800_000_000.0
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
HOLDER = TokenIdentity(username="system:serviceaccount:team-a:default", pod_name="reviews-a1-0", pod_uid="pod")
BOUND = {
    "namespace": "team-a",
    "serviceaccount": {"name": "default", "uid": "account"},
    "pod": {"name": "reviews-a1-0", "uid": "pod"},
}
CLAIMS = {
    "iss": ISSUER,
    "aud": [AUDIENCE],
    "sub": "system:serviceaccount:team-a:default",
    "iat": NOW - 100,
    "nbf": NOW - 100,
    "exp": NOW + 500,
    "kubernetes.io": BOUND,
}


def jwk(key: Any, name: str, **fields: Any) -> dict[str, Any]:
    algorithm: Any = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    public = algorithm.to_jwk(key.public_key(), as_dict=True)
    is_rsa = algorithm is jwt.algorithms.RSAAlgorithm
    return public | {"kid": name, "use": "sig", "alg": "RS256" if is_rsa else "ES256"} | fields


KEY_SET = {"keys": [jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec")]}
KEYS = signing_keys(ISSUER, KEY_SET)


def token(
    claims: dict[str, Any] = CLAIMS, *, key: Any = RSA_KEY, algorithm: str = "RS256", name: str | None = "rsa"
) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": name} if name is not None else {})


def without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in CLAIMS.items() if name != claim}


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(token(), id="RS256"),
        pytest.param(token(key=EC_KEY, algorithm="ES256", name="ec"), id="ES256"),
        pytest.param(token(CLAIMS | {"aud": AUDIENCE}), id="one audience"),
        pytest.param(token(CLAIMS | {"exp": NOW - 59}), id="expired a moment ago"),
        pytest.param(token(CLAIMS | {"iat": NOW + 59, "nbf": NOW + 59}), id="of a clock that is ahead"),
        pytest.param(token(without("nbf")), id="no nbf"),
    ],
)
def test_a_good_token_names_its_holder(good: str) -> None:
    assert holder_of(good, keys=KEYS, audience=AUDIENCE, now=NOW) == HOLDER


def test_a_token_that_no_pod_holds_names_its_account_only() -> None:
    unbound = token(CLAIMS | {"kubernetes.io": {name: BOUND[name] for name in ("namespace", "serviceaccount")}})
    holder = holder_of(unbound, keys=KEYS, audience=AUDIENCE, now=NOW)
    assert holder == TokenIdentity(username=HOLDER.username)


def signed_by_hand(header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """Return a token as no library makes it."""

    def encoded(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    text = ".".join(encoded(json.dumps(part).encode()) for part in (header, CLAIMS))
    return f"{text}.{encoded(sign(text.encode()))}"


def unsigned() -> str:
    return signed_by_hand({"alg": "none", "kid": "rsa"}, lambda _: b"")


def shared_secret() -> str:
    """Return a token whose secret is the public key: a check that lets the token choose the algorithm takes it."""
    secret = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return signed_by_hand({"alg": "HS256", "kid": "rsa"}, lambda text: hmac.digest(secret, text, "sha256"))


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("", id="nothing"),
        pytest.param("no-token", id="no token"),
        pytest.param("e30.e30.e30", id="empty parts"),
        pytest.param(token(name=None), id="no key named"),
        pytest.param(token(key=STRANGER), id="another signature"),
        pytest.param(token()[:-8] + "AAAAAAAA", id="a changed signature"),
        pytest.param(token(key=EC_KEY, algorithm="ES256"), id="another kind of key"),
        pytest.param(unsigned(), id="unsigned"),
        pytest.param(shared_secret(), id="signed with the public key as a secret"),
        pytest.param(token(CLAIMS | {"aud": ["https://kubernetes.default.svc"]}), id="for the API server"),
        pytest.param(token(CLAIMS | {"aud": ["tuneloop.dev/other"]}), id="for another job"),
        pytest.param(token(CLAIMS | {"iss": "https://elsewhere"}), id="of another issuer"),
        pytest.param(token(CLAIMS | {"exp": NOW - 61}), id="expired"),
        pytest.param(token(CLAIMS | {"nbf": NOW + 61}), id="not valid yet"),
        pytest.param(token(CLAIMS | {"exp": "never"}), id="no time"),
        pytest.param(token(CLAIMS | {"exp": float("nan")}), id="not a number"),
        pytest.param(token(CLAIMS | {"sub": "system:serviceaccount:team-b:default"}), id="two namespaces"),
        pytest.param(token(CLAIMS | {"kubernetes.io": "team-a"}), id="claims of another shape"),
        pytest.param(token(CLAIMS | {"kubernetes.io": BOUND | {"pod": "p"}}), id="a pod of another shape"),
        *(pytest.param(token(without(claim)), id=f"no {claim}") for claim in CLAIMS if claim != "nbf"),
    ],
)
def test_a_bad_token_has_no_holder(bad: str) -> None:
    assert holder_of(bad, keys=KEYS, audience=AUDIENCE, now=NOW) is None


def test_a_key_that_is_not_known_is_not_a_bad_token_yet() -> None:
    with pytest.raises(UnknownKey):
        holder_of(token(name="new"), keys=KEYS, audience=AUDIENCE, now=NOW)


@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode() + ".e30.")
)
def test_no_text_is_a_token_by_chance(text: str) -> None:
    with contextlib.suppress(UnknownKey):
        assert holder_of(text, keys=KEYS, audience=AUDIENCE, now=NOW) is None


@pytest.mark.parametrize(
    ("issuer", "key_set", "problem"),
    [
        (None, KEY_SET, "no issuer is named"),
        ("", KEY_SET, "no issuer is named"),
        (ISSUER, [], "no JWK set"),
        (ISSUER, {"keys": {}}, "no JWK set"),
        (ISSUER, {"keys": []}, "no key with a `kid`"),
        (ISSUER, {"keys": ["rsa", {}, {"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"}]}, "no key with a `kid`"),
        (ISSUER, {"keys": [jwk(RSA_KEY, "")]}, "no key with a `kid`"),
    ],
)  # fmt: skip
def test_documents_without_keys_are_refused(issuer: Any, key_set: Any, problem: str) -> None:
    with pytest.raises(UnreadableKeys, match=problem):
        signing_keys(issuer, key_set)


def test_a_key_of_a_kind_that_is_not_known_takes_nothing_from_the_others() -> None:
    found = signing_keys(ISSUER, {"keys": [{"kty": "new", "kid": "new"}, *KEY_SET["keys"]]})
    assert set(found.keys) == {"rsa", "ec"}


class Source:
    """Counts how often its keys are read."""

    def __init__(self) -> None:
        self.keys: list[SigningKeys | Exception] = []
        self.reads = 0

    async def read(self) -> SigningKeys:
        await asyncio.sleep(0)
        self.reads += 1
        found = self.keys[min(self.reads, len(self.keys)) - 1]
        if isinstance(found, Exception):
            raise found
        return found


class Reviewed:
    """A reviewer with clocks of the test's."""

    def __init__(self, *keys: SigningKeys | Exception) -> None:
        self.source, self.seconds = Source(), 0.0
        self.source.keys = list(keys)
        self.reviewer = KeyReviewer(read=self.source.read, clock=lambda: self.seconds, wall=lambda: NOW)

    async def ask(self, asked: str) -> TokenIdentity | None:
        return await self.reviewer.review_token(asked, audience=AUDIENCE)


OLD = signing_keys(ISSUER, {"keys": [jwk(RSA_KEY, "rsa")]})


def test_keys_are_read_once_for_many_tokens() -> None:
    setup = Reviewed(KEYS)

    async def story() -> list[Any]:
        return await asyncio.gather(*(setup.ask(token()) for _ in range(20)))

    assert asyncio.run(story()) == [HOLDER] * 20
    assert setup.source.reads == 1


def test_a_new_key_is_read_and_its_token_is_good_at_once() -> None:
    setup = Reviewed(OLD, KEYS)

    async def story() -> list[Any]:
        old = await setup.ask(token())
        setup.seconds = 61.0
        return [old, await setup.ask(token(key=EC_KEY, algorithm="ES256", name="ec"))]

    assert asyncio.run(story()) == [HOLDER, HOLDER]
    assert setup.source.reads == 2


def test_a_flood_of_invented_keys_causes_one_read_a_minute() -> None:
    setup = Reviewed(KEYS)

    async def story() -> None:
        await setup.ask(token())
        for second in range(121):
            setup.seconds = float(second)
            asked = (setup.ask(token(key=STRANGER, name=f"{second}-{number}")) for number in range(5))
            assert await asyncio.gather(*asked) == [None] * 5

    asyncio.run(story())
    assert setup.source.reads == 3


def test_without_keys_nobody_is_turned_down_for_good_and_the_read_is_tried_every_five_seconds() -> None:
    setup = Reviewed(ClusterUnavailable("away"), UnreadableKeys("no JWK set"), KEYS)

    async def story() -> list[TokenIdentity | None]:
        for second in range(10):
            setup.seconds = float(second)
            with pytest.raises(ClusterUnavailable):
                await setup.ask(token())
        setup.seconds = 10.0
        return [await setup.ask(token())]

    assert asyncio.run(story()) == [HOLDER]
    assert setup.source.reads == 3


def test_keys_that_cannot_be_read_again_leave_the_known_ones() -> None:
    setup = Reviewed(KEYS, UnreadableKeys("no JWK set"))

    async def story() -> list[TokenIdentity | None]:
        await setup.ask(token())
        setup.seconds = 61.0
        return [await setup.ask(token(key=STRANGER, name="new")), await setup.ask(token())]

    assert asyncio.run(story()) == [None, HOLDER]


def test_keys_come_from_the_api_server() -> None:
    class Documents:
        async def key_documents(self) -> tuple[Any, Any]:
            return {"issuer": ISSUER, "jwks_uri": "https://elsewhere/keys"}, KEY_SET

    found = asyncio.run(keys_of_api_server(Documents())())
    assert (found.issuer, set(found.keys)) == (ISSUER, {"rsa", "ec"})
