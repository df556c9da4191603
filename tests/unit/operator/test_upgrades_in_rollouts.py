"""An operator with another image of the servers takes over in the middle of a roll-out: servers whose requests are evidence stay as they are."""

from __future__ import annotations

import asyncio

from routed_in_memory import Routed

from tuneloop_operator.settings.operator import OperatorSettings

STEPS = [{"weight": 25, "minDuration": "1h"}, {"weight": 100}]


async def upgrade(deployed: Routed) -> None:
    deployed.harness.settings = OperatorSettings(
        server_image="server:2", router_image="router:1", image_pull_policy="Always"
    )
    await deployed.restart()


async def offered(deployed: Routed) -> tuple[str, str]:
    old = await deployed.create(steps=STEPS, rollback={"baking": "0s"})
    return old, await deployed.offer()


def image(deployed: Routed, revision: str) -> tuple[str, str | None]:
    (container,) = deployed.servers(revision)["spec"]["template"]["spec"]["containers"]
    return container["image"], container.get("imagePullPolicy")


def test_servers_that_carry_requests_of_a_step_keep_their_image_until_the_promotion():
    async def story() -> None:
        deployed = Routed()
        old, new = await offered(deployed)
        await deployed.ready(new, 1)
        template = deployed.servers(new)["spec"]["template"]
        step = deployed.status["rollout"]
        await upgrade(deployed)
        assert deployed.servers(new)["spec"]["template"] == template
        assert (deployed.status["rollout"], deployed.followed) == (step, 2 * [{new: 25, old: 75}])
        await deployed.settle(later=3601.0)
        await deployed.ready(new, 2)
        assert deployed.followed == 2 * [{new: 100}]
        await deployed.settle(later=1.0)
        assert deployed.status["stable"]["revision"] == new
        assert (image(deployed, new), image(deployed, old)) == (("server:2", "Always"), ("server:1", None))

    asyncio.run(story())


def test_servers_that_never_answered_get_the_image_that_may_help_them():
    async def story() -> None:
        deployed = Routed()
        _, new = await offered(deployed)
        await upgrade(deployed)
        assert image(deployed, new)[0] == "server:2"

    asyncio.run(story())


def test_what_a_foreign_hand_changes_is_mended_in_the_middle_of_a_step_too():
    async def story() -> None:
        deployed = Routed()
        _, new = await offered(deployed)
        await deployed.ready(new, 1)
        before = deployed.servers(new)["spec"]
        deployed.harness.cluster.change(deployed.servers(new), spec=before | {"progressDeadlineSeconds": 1})
        await upgrade(deployed)
        assert deployed.servers(new)["spec"] == before

    asyncio.run(story())
