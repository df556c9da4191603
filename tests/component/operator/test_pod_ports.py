"""What the operator's port for routers is made of: whose tokens are good, and when it answers at all. Real sockets; the API server is in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from memory_cluster import MemoryCluster
from routed_manifests import pod_of_deployment, routed_deployment

from tuneloop_api.contract.router import split_path
from tuneloop_api.wire.names import token_audience
from tuneloop_operator.cluster.pages import Page, Scope
from tuneloop_operator.cluster.token_reviews import TokenIdentity
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.pod_ports import PodPorts
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.process import ProcessSettings

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2027, 1, 1, tzinfo=UTC)
ISSUER = "https://kubernetes.default.svc"
ACCOUNT = "system:serviceaccount:team-a:default"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
POD = {"TUNELOOP_POD_NAMESPACE": "tuneloop-system", "TUNELOOP_POD_NAME": "operator-0", "TUNELOOP_POD_IP": "10.0.0.7"}
ROUTER = pod_of_deployment("reviews-router-x", uid="router", component="router")
PODS = Scope("Pod", None)
Ask = Callable[..., Awaitable[int]]


class Api(MemoryCluster):
    """The API server, with its clock."""

    def now(self) -> datetime:
        return NOW


class Place:
    """An operator that knows the deployment `reviews` and one router of it."""

    def __init__(self, folder: Path, *, authentication: str = "TokenReview", expected: tuple[Scope, ...] = ()) -> None:
        self.leads = True
        self.api = Api(lambda: NOW)
        for name, uid in (("router", "router"), ("server", "another")):
            self.api.tokens[name] = TokenIdentity(username=ACCOUNT, pod_name=name, pod_uid=uid)
        self.operator = Operator(cluster=self.api, settings=OperatorSettings(), clock=lambda: NOW, expected=expected)
        for manifest in (routed_deployment(7), ROUTER):
            self.operator.on_event("ADDED", manifest)
        variables = POD | {"TUNELOOP_PROGRESS_AUTHENTICATION": authentication}
        if authentication == "JWKS":
            public: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
            (folder / "jwks.json").write_text(json.dumps({"keys": [public | {"kid": "one", "alg": "RS256"}]}))
            variables |= {"TUNELOOP_JWKS_FILE": str(folder / "jwks.json"), "TUNELOOP_TOKEN_ISSUER": ISSUER}
        api: Any = self.api
        settings = ProcessSettings.from_environment(variables)
        self.ports = PodPorts(operator=self.operator, api=api, settings=settings, leads=lambda: self.leads)


def asking(folder: Path, life: Callable[[Place, Ask], Awaitable[Any]], **options: Any) -> Any:
    """Run `life` with a place and a function that polls and returns the status."""

    async def run() -> Any:
        place = Place(folder, **options)
        runner = web.AppRunner(place.ports.routers.application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:

            async def ask(token: str = "router", *, in_force: int = 0, hold: int = 0) -> int:
                path = f"{split_path('team-a', 'reviews')}?inForce={in_force}&hold={hold}"
                async with session.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
                    return answer.status

            try:
                return await life(place, ask)
            finally:
                await runner.cleanup()

    return asyncio.run(run())


def signed(*, uid: str = "u-reviews", pod_uid: str = "router", key: Any = KEY) -> str:
    """Return a token as the API server signs it for a pod."""
    bound = {
        "namespace": "team-a",
        "serviceaccount": {"name": "default", "uid": "account"},
        "pod": {"name": "reviews-router-x", "uid": pod_uid},
    }
    times = {"iat": NOW, "nbf": NOW, "exp": NOW + timedelta(hours=1)}
    claims = {"iss": ISSUER, "aud": [token_audience(uid)], "sub": ACCOUNT, "kubernetes.io": bound} | times
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "one"})


STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    ("authentication", "token", "status"),
    [
        pytest.param("TokenReview", "router", 200, id="a router, by the API server's word"),
        pytest.param("TokenReview", "server", 403, id="another pod, by the API server's word"),
        pytest.param("TokenReview", "unknown", 401, id="nobody, by the API server's word"),
        pytest.param("JWKS", signed(), 200, id="a router, by its keys"),
        pytest.param("JWKS", signed(pod_uid="another"), 403, id="another pod, by its keys"),
        pytest.param("JWKS", signed(uid="u-mails"), 401, id="a token for another deployment, by its keys"),
        pytest.param("JWKS", signed(key=STRANGER), 401, id="a token that somebody else signed"),
    ],
)
def test_a_router_of_the_deployment_gets_the_split_and_nobody_else(
    tmp_path: Path, authentication: str, token: str, status: int
) -> None:
    assert asking(tmp_path, lambda _, ask: ask(token), authentication=authentication) == status


def test_the_token_is_reviewed_for_the_deployment_that_is_asked_for(tmp_path: Path) -> None:
    async def life(place: Place, ask: Ask) -> list[str]:
        await ask()
        return place.api.reviewed

    assert asking(tmp_path, life) == [token_audience("u-reviews")]


def test_a_status_that_is_stored_wakes_the_polls_and_its_report_is_stored(tmp_path: Path) -> None:
    async def life(place: Place, ask: Ask) -> tuple[int, tuple[Any, ...]]:
        poll = asyncio.create_task(ask(in_force=7, hold=20))  # type: ignore[arg-type]
        while not place.ports.routers.waiting:  # noqa: ASYNC110  (the count has no event)
            await asyncio.sleep(0.01)
        place.operator.on_event("MODIFIED", routed_deployment(8))
        status = await asyncio.wait_for(poll, timeout=10)
        return status, place.operator.store.router_reports("u-reviews")

    status, (report,) = asking(tmp_path, life)
    assert status == 200
    assert (report.router, report.in_force) == ("router", 7)


def test_nothing_is_answered_before_all_objects_are_known_or_without_the_lead(tmp_path: Path) -> None:
    async def life(place: Place, ask: Ask) -> list[int]:
        statuses = [await ask()]
        page = Page(scope=PODS, items=(ROUTER,), version="1", is_first=True, is_last=True)
        place.operator.on_list_page(page)
        statuses.append(await ask())
        place.leads = False
        return [*statuses, await ask()]

    assert asking(tmp_path, life, expected=(PODS,)) == [503, 200, 503]
