"""A ModelDeployment with adapters: what its servers are told, when they are started, and that the set of adapters is part of the revision."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from operator_harness import OperatorHarness

FILMS: dict[str, Any] = {"name": "films", "uri": "pvc://adapters/films", "digest": f"sha256:{64 * 'a'}"}
BOOKS: dict[str, Any] = {"name": "books", "uri": "pvc://models/books"}
REVIEWS: dict[str, Any] = {"name": "reviews", "fineTuneJobRef": {"name": "reviews"}}


def deploy(harness: OperatorHarness, *adapters: dict[str, Any]) -> None:
    metadata = {"name": "api", "namespace": "team-a"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    spec: dict[str, Any] = {"model": {"uri": "pvc://models/base"}} | ({"adapters": [*adapters]} if adapters else {})
    harness.cluster.add(manifest | {"spec": spec})


def stored(harness: OperatorHarness) -> Any:
    return harness.cluster.objects["ModelDeployment", "team-a", "api"]


def available(harness: OperatorHarness) -> tuple[str, str, str]:
    entry = stored(harness)["status"]["conditions"][1]
    assert entry["type"] == "ModelAvailable"
    return entry["status"], entry["reason"], entry["message"]


def config_of(harness: OperatorHarness, name: str) -> Any:
    return json.loads(harness.cluster.of_kind("ConfigMap")[name]["data"]["server.json"])


def test_the_servers_are_told_of_all_adapters_and_have_their_claims(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness, FILMS, BOOKS)
        await harness.settle()
        ((name, deployment),) = harness.cluster.of_kind("Deployment").items()
        assert config_of(harness, name)["adapters"] == [
            {
                "name": "films",
                "artifactPath": "/tuneloop/claims/adapters/films",
                "artifactUri": FILMS["uri"],
                "digest": FILMS["digest"],
            },
            {"name": "books", "artifactPath": "/tuneloop/claims/models/books", "artifactUri": BOOKS["uri"]},
        ]
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        claims = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
        assert claims == [{"claimName": name, "readOnly": True} for name in ("adapters", "models")]

    asyncio.run(life())


def test_without_adapters_the_servers_are_told_nothing_of_them(harness: OperatorHarness) -> None:
    """A server of release 0.1.0 refuses a field that it does not know."""

    async def life() -> None:
        deploy(harness)
        await harness.settle()
        (name,) = harness.cluster.of_kind("Deployment")
        assert "adapters" not in config_of(harness, name)

    asyncio.run(life())


def test_another_set_of_adapters_is_another_revision(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness, FILMS)
        await harness.settle()
        names = {*harness.cluster.of_kind("Deployment")}
        for adapters in (
            [FILMS, BOOKS],
            [BOOKS, FILMS],
            [FILMS | {"digest": f"sha256:{64 * 'b'}"}],
            [FILMS | {"name": "f"}],
        ):
            harness.cluster.change(stored(harness), spec=stored(harness)["spec"] | {"adapters": adapters})
            await harness.settle()
            new = {*harness.cluster.of_kind("Deployment")} - names
            assert len(new) == 1, adapters
            names |= new

    asyncio.run(life())


def test_an_adapter_of_a_job_is_waited_for_and_then_served(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness, FILMS, REVIEWS)
        await harness.settle()
        missing = "adapter reviews: there is no FineTuneJob reviews in this namespace"
        assert available(harness) == ("False", "JobNotFound", missing)
        harness.submit(output={"mergeAdapter": False})
        await harness.settle()
        assert available(harness)[1] == "JobNotFinished"
        for job in ("reviews-prepare", "reviews-a1", "reviews-export"):
            harness.succeed(job)
            await harness.settle()
        (name,) = harness.cluster.of_kind("Deployment")
        _, adapter = config_of(harness, name)["adapters"]
        assert (adapter["name"], adapter["digest"]) == ("reviews", harness.status["artifact"]["digest"])
        assert adapter["artifactUri"] == harness.status["artifact"]["uri"]

    asyncio.run(life())


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ({"type": "full"}, "method.type: full"),
        ({"type": "ia3"}, "method.type: ia3"),
        ({"useDora": True}, "method.type: lora, useDora"),
        ({"useDora": True, "useRslora": True}, "method.type: lora, useDora, useRslora"),
    ],
)
def test_a_job_that_makes_no_adapter_is_not_waited_for(
    harness: OperatorHarness, method: dict[str, object], given: str
) -> None:
    async def life() -> None:
        harness.submit(method=method)
        deploy(harness, REVIEWS)
        await harness.settle()
        status, reason, message = available(harness)
        assert (status, reason) == ("False", "NoAdapter")
        assert message.startswith(
            f"adapter reviews: FineTuneJob reviews publishes no adapter that servers run beside a base model ({given});"
        )
        assert harness.cluster.of_kind("Deployment") == {}

    asyncio.run(life())
