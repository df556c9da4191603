"""A retraining from its trigger to the model that serves: the real operator on an API server in memory."""

from __future__ import annotations

import asyncio

from retrained_in_memory import DAY, HOUR, Retrained


def test_a_model_that_was_asked_for_is_trained_once_and_takes_over() -> None:
    async def life() -> None:
        deployed = Retrained()
        first = await deployed.begin()
        assert deployed.place == ("Idle", "")

        await deployed.ask()
        assert deployed.place == ("Training", "")
        assert deployed.created == [deployed.run]

        await deployed.train("d2")
        assert deployed.place == ("Canary", "")
        (new,) = set(deployed.revisions) - {first}
        assert deployed.status["stable"]["revision"] == first

        await deployed.serve()
        assert deployed.place == ("Baking", "")
        assert deployed.status["stable"]["revision"] == new

        await deployed.settle(later=HOUR + 1)
        assert deployed.outcomes == ["Promoted"]
        assert deployed.loop["choice"]["revision"] == new
        assert "model" in deployed.stored["spec"], "the spec stays the user's"
        assert deployed.stored["spec"]["model"] == {"uri": "pvc://models/artifact"}

        await deployed.settle(later=30 * DAY)
        await deployed.restart()
        assert len(deployed.created) == 1
        assert deployed.status["stable"]["revision"] == new

    asyncio.run(life())
