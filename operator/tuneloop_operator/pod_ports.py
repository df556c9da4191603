"""What pods ask of the operator, put together: the server that takes the progress of stages, and the one that gives routers their split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.names import DEPLOYMENT_LABEL, JOB_LABEL
from tuneloop_operator.progress.reviewed_tokens import VALID_SECONDS, TokenReviews
from tuneloop_operator.progress.server import ProgressServer
from tuneloop_operator.progress.token_review import TokenReviewAuthenticator
from tuneloop_operator.routers.router_pods import RouterPods
from tuneloop_operator.routers.server import RouterServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.cluster.api_server import ApiServer
    from tuneloop_operator.controller.operator import Operator
    from tuneloop_operator.progress.reviewed_tokens import Reviewer
    from tuneloop_operator.settings.process import ProcessSettings


class PodPorts:
    """The servers for pods of one operator. Each has reviews of its own: a flood of bad tokens at one delays nobody at the other."""

    def __init__(
        self, *, operator: Operator, api: ApiServer, settings: ProcessSettings, leads: Callable[[], bool]
    ) -> None:
        asks = settings.progress_authentication == "TokenReview"
        reviewer = api if asks else _key_reviewer(api, settings)
        # a signature is checked at once, and so the end of a token holds to the second
        seconds = VALID_SECONDS if asks else 0.0
        self.progress = _progress_server(operator, TokenReviews(reviewer, valid_seconds=seconds))
        self.routers = _router_server(operator, TokenReviews(reviewer, valid_seconds=seconds), leads=leads)


def _progress_server(operator: Operator, reviews: TokenReviews) -> ProgressServer:
    def job_of(namespace: str, name: str) -> Manifest | None:
        return operator.store.get("FineTuneJob", namespace=namespace, name=name)

    def children_of(namespace: str, name: str) -> Iterator[Manifest]:
        return operator.store.labelled(JOB_LABEL, name, namespace=namespace)

    authenticator = TokenReviewAuthenticator(reviews=reviews, job_of=job_of, children_of=children_of)
    return ProgressServer(authenticator=authenticator, knows_job=operator.knows_job, on_progress=operator.progress)


def _router_server(operator: Operator, reviews: TokenReviews, *, leads: Callable[[], bool]) -> RouterServer:
    def deployment_of(namespace: str, name: str) -> Manifest | None:
        return operator.store.get("ModelDeployment", namespace=namespace, name=name)

    def pods_of(namespace: str, name: str) -> Iterator[Manifest]:
        return operator.store.labelled(DEPLOYMENT_LABEL, name, namespace=namespace, kind="Pod")

    server = RouterServer(
        authenticator=RouterPods(reviews=reviews, deployment_of=deployment_of, children_of=pods_of),
        split_of=operator.split_of,
        on_report=operator.router_report,
        may_answer=lambda: leads() and operator.is_complete,
    )
    operator.on_split_change(server.changed)
    return server


def _key_reviewer(api: ApiServer, settings: ProcessSettings) -> Reviewer:
    # imported here, because the library for signatures takes 10 MiB
    from tuneloop_operator.progress.key_reviewer import KeyReviewer, keys_of_api_server, keys_of_file  # noqa: PLC0415

    def wall() -> float:
        return api.now().timestamp()

    if settings.jwks_file is None or settings.token_issuer is None:
        return KeyReviewer(read=keys_of_api_server(api), wall=wall)
    return KeyReviewer(read=keys_of_file(settings.jwks_file, issuer=settings.token_issuer), wall=wall)
