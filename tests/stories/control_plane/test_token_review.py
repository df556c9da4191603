"""Progress posts with real tokens: a pod of the job may speak of its own stage and attempt, and nobody else of anything."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cluster.control_plane import ControlPlane
from cryptography.hazmat.primitives.asymmetric import ec
from progress_place import Place

from tuneloop_api.contract.progress import ProgressMessage, progress_path
from tuneloop_operator.cluster.api_server import ApiServer, Call
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.names import JOB_LABEL
from tuneloop_operator.progress.key_reviewer import KeyReviewer, keys_of_api_server
from tuneloop_operator.progress.reviewed_tokens import TokenReviews
from tuneloop_operator.progress.server import ProgressServer
from tuneloop_operator.progress.token_review import TokenReviewAuthenticator

Manifest = dict[str, Any]
MESSAGE = {"version": 1, "stage": "train", "attempt": 1, "sequence": 1, "sentAt": "2026-01-01T00:00:00Z"}
GROUP = "/apis/tuneloop.dev/v1alpha1"


@pytest.fixture
def place(custom_resources: ControlPlane, namespace: str) -> Place:
    spec = {
        "model": {"uri": "hf://FacebookAI/roberta-base"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
        "storage": {"claim": "models"},
    }
    job = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "reviews", "namespace": namespace},
        "spec": spec,
    }
    path = f"{GROUP}/namespaces/{namespace}/finetunejobs"
    made = custom_resources.request("POST", path, job).body
    status = {"status": {"phase": "Running", "attempt": 1}}
    running = custom_resources.request(
        "PATCH", f"{path}/reviews/status", status, content_type="application/merge-patch+json"
    ).body
    assert running["metadata"]["uid"] == made["metadata"]["uid"]
    store = new_store()
    store.put(running)
    return Place(custom_resources, namespace, store, running)


@dataclass
class Served:
    """A progress server that asks the real API server."""

    place: Place
    kubeconfig: Path
    calls: list[Call]
    received: list[ProgressMessage]
    checks_by: str = "TokenReview"
    later: float = 0.0
    """Seconds by which the server's clock is ahead of the API server's."""

    def post(self, *posts: tuple[str | None, bytes]) -> list[tuple[int, str]]:
        """Post one after the other; return each answer's status and reason."""
        return asyncio.run(self._post(posts))

    async def _post(self, posts: tuple[tuple[str | None, bytes], ...]) -> list[tuple[int, str]]:
        store, namespace = self.place.store, self.place.namespace
        api = await ApiServer.connect(environ={"KUBECONFIG": str(self.kubeconfig)}, on_call=self.calls.append)
        authenticator = TokenReviewAuthenticator(
            reviews=TokenReviews(api if self.checks_by == "TokenReview" else self._key_reviewer(api)),
            job_of=lambda where, name: store.get("FineTuneJob", namespace=where, name=name),
            children_of=lambda where, name: store.labelled(JOB_LABEL, name, namespace=where),
        )
        server = ProgressServer(
            authenticator=authenticator, knows_job=lambda _namespace, _name: True, on_progress=self._hear
        )
        runner = web.AppRunner(server.application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{progress_path(namespace, 'reviews')}"
        try:
            async with aiohttp.ClientSession() as session:
                return [await answer(session, url, token, body) for token, body in posts]
        finally:
            await runner.cleanup()
            await api.close()

    def _key_reviewer(self, api: ApiServer) -> KeyReviewer:
        return KeyReviewer(read=keys_of_api_server(api), wall=lambda: time.time() + self.later)

    def _hear(self, _namespace: str, _name: str, message: ProgressMessage) -> bool:
        self.received.append(message)
        return True


async def answer(session: aiohttp.ClientSession, url: str, token: str | None, body: bytes) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with session.post(url, data=body, headers=headers) as reply:
        return reply.status, (await reply.json()).get("error", "")


@pytest.fixture(params=["TokenReview", "JWKS"])
def served(request: pytest.FixtureRequest, place: Place) -> Served:
    """The server, whichever way it checks tokens: the answers are the same."""
    kubeconfig = place.plane.kubeconfig
    return Served(place=place, kubeconfig=kubeconfig, calls=[], received=[], checks_by=request.param)


@pytest.fixture
def by_keys(place: Place) -> Served:
    """A server that checks tokens by the keys of the API server."""
    return Served(place=place, kubeconfig=place.plane.kubeconfig, calls=[], received=[], checks_by="JWKS")


def body(**fields: Any) -> bytes:
    return json.dumps(MESSAGE | fields).encode()


def good_token(place: Place) -> str:
    uid = place.pod(owner=place.stage_job(place.job))
    return place.token(pod="reviews-a1-0", uid=uid)


def test_a_pod_of_the_job_reports(place: Place, served: Served) -> None:
    assert served.post((good_token(place), body(step=3))) == [(202, "")]
    assert [message.step for message in served.received] == [3]


def test_the_api_server_is_asked_once_for_many_posts(place: Place, served: Served) -> None:
    token = good_token(place)
    assert [status for status, _ in served.post(*[(token, body(sequence=n)) for n in range(5)])] == [202] * 5
    asked = {"TokenReview": ["tokenreviews"], "JWKS": ["openid", "openid"]}
    assert [call.resource for call in served.calls] == asked[served.checks_by]


@pytest.mark.parametrize("token", [None, "no-token", "e30.e30.e30"])
def test_without_a_good_token_nothing_is_received(served: Served, token: str | None) -> None:
    assert served.post((token, body())) == [(401, "no valid bearer token")]
    assert served.received == []


def test_a_token_for_another_job_is_not_good(place: Place, served: Served) -> None:
    uid = place.pod(owner=place.stage_job(place.job))
    token = place.token(pod="reviews-a1-0", uid=uid, audience="tuneloop.dev/another")
    assert served.post((token, body())) == [(401, "no valid bearer token")]


def test_a_token_for_the_api_server_is_not_good(place: Place, served: Served) -> None:
    uid = place.pod(owner=place.stage_job(place.job))
    token = place.token(pod="reviews-a1-0", uid=uid, audience="https://kubernetes.default.svc.cluster.local")
    assert served.post((token, body())) == [(401, "no valid bearer token")]


def test_a_token_that_no_pod_holds_may_not_report(place: Place, served: Served) -> None:
    account = f"system:serviceaccount:{place.namespace}:default"
    refusal = f"{account} is no pod of FineTuneJob {place.namespace}/reviews"
    assert served.post((place.token(), body())) == [(403, refusal)]


def test_a_pod_that_only_wears_the_label_may_not_report(place: Place, served: Served) -> None:
    place.stage_job(place.job)
    uid = place.pod("impostor", owner=None)
    status, reason = served.post((place.token(pod="impostor", uid=uid), body()))[0]
    assert (status, reason) == (403, f"pod impostor is no pod of FineTuneJob {place.namespace}/reviews")


def test_a_pod_of_somebody_elses_job_may_not_report(place: Place, served: Served) -> None:
    stranger = place.plane.request(
        "POST", f"/api/v1/namespaces/{place.namespace}/configmaps", {"metadata": {"name": "stranger"}}
    ).body
    job = place.stage_job({"apiVersion": "v1", "kind": "ConfigMap", **stranger}, name="theirs")
    uid = place.pod("theirs-0", owner=job)
    assert served.post((place.token(pod="theirs-0", uid=uid), body()))[0][0] == 403


def test_a_pod_that_the_operator_has_not_observed_may_not_report_yet(place: Place, served: Served) -> None:
    uid = place.pod(owner=place.stage_job(place.job), observed=False)
    assert served.post((place.token(pod="reviews-a1-0", uid=uid), body()))[0][0] == 403


def test_a_pod_of_another_namespace_may_not_report(place: Place, served: Served) -> None:
    other = f"{place.namespace}-other"
    place.plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": other}})
    place.plane.request("POST", f"/api/v1/namespaces/{other}/serviceaccounts", {"metadata": {"name": "trainer"}})
    spec = {"audiences": [place.audience], "expirationSeconds": 600}
    reply = place.plane.request("POST", f"/api/v1/namespaces/{other}/serviceaccounts/trainer/token", {"spec": spec})
    status, reason = served.post((reply.body["status"]["token"], body()))[0]
    assert (status, reason.split(" is no pod")[0]) == (403, f"system:serviceaccount:{other}:trainer")


def test_a_pod_of_an_older_attempt_learns_that_another_one_is_on(place: Place, served: Served) -> None:
    token = good_token(place)
    place.store.put(
        place.job
        | {"status": {"phase": "Running", "attempt": 2}}
        | {"metadata": place.job["metadata"] | {"resourceVersion": "999999999"}}
    )
    assert served.post((token, body())) == [(403, "pod reviews-a1-0 is of attempt 1; attempt 2 is on")]
    assert served.received == []


def test_a_token_that_is_signed_by_somebody_else_is_not_good(place: Place, by_keys: Served) -> None:
    token = good_token(place)
    claims = jwt.decode(token, options={"verify_signature": False})
    header = jwt.get_unverified_header(token)
    forged = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers=header)
    assert by_keys.post((forged, body()), (token, body())) == [(401, "no valid bearer token"), (202, "")]


@pytest.mark.parametrize(("later", "status"), [(600, 202), (670, 401)])
def test_a_token_is_good_until_it_expires(place: Place, by_keys: Served, later: int, status: int) -> None:
    token = good_token(place)
    by_keys.later = later  # a minute between the clocks is allowed
    assert by_keys.post((token, body()))[0][0] == status


@pytest.mark.parametrize("fields", [{"attempt": 2}, {"stage": "export"}])
def test_a_pod_speaks_of_its_own_stage_and_attempt_only(place: Place, served: Served, fields: dict[str, Any]) -> None:
    status, reason = served.post((good_token(place), body(**fields)))[0]
    assert (status, reason.split(";")[0]) == (403, "pod reviews-a1-0 is of train, attempt 1")
    assert served.received == []


@pytest.mark.parametrize(("sent", "status"), [(b"{", 422), (b" " * 70_000, 413)])
def test_what_is_no_message_is_not_received(place: Place, served: Served, sent: bytes, status: int) -> None:
    assert served.post((good_token(place), sent))[0][0] == status
    assert served.received == []


def test_while_the_api_server_is_away_nobody_is_turned_down_for_good(
    place: Place, served: Served, tmp_path: Path
) -> None:
    token = good_token(place)
    away = place.plane.kubeconfig.read_text().replace(place.plane.server_url, "https://127.0.0.1:9")
    served.kubeconfig = tmp_path / "away"
    served.kubeconfig.write_text(away)
    assert served.post((token, body())) == [(503, "who posts cannot be checked now")]
