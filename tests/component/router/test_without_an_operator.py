"""A router whose operator is away for long: its token ends, it is started again from its own last state, and it reports to the operator that comes."""

from __future__ import annotations

import json
import os
import signal

from router_process import SECONDS, answers_of, revisions_of, running, settings_file
from split_operator import following, split_operator
from waiting import until

USERS = [f"user-{number}" for number in range(40)]
STICKY = {"header": "x-user", "salt": "rollout-2"}
LINE = "requests go on with generation 2"


def test_its_token_ends_and_it_is_started_again_and_no_user_notices(tmp_path, models, certificates):
    """The mounted split is older than the last one that was in force, in which a canary has a share."""
    (tmp_path / "token").write_text("first-token")
    with split_operator(certificates, token="first-token") as operator:
        port = operator.port
        settings = settings_file(
            tmp_path, models.split(stable=100), operator=following(tmp_path, operator, certificates)
        )
        with running(settings) as router:
            operator.publish(models.split(generation=2, canary=30, stable=70) | {"sticky": STICKY})
            operator.wait_until_in_force(2)
            before = revisions_of(router.url, USERS, "x-user")
            assert set(before.values()) == {"canary", "stable"}
            # the operator takes another token from now on: the one that is mounted has ended
            operator.token = "second-token"
            refused = operator.refused_polls
            operator.answer_all()
            until(lambda: operator.refused_polls > refused + 2, seconds=20, what="the token is refused again and again")
            assert revisions_of(router.url, USERS, "x-user") == before
            os.kill(router.envoy, signal.SIGKILL)
            assert router.process.wait(SECONDS) == 1
            log = router.log.read_text()
            assert log.count("the operator answers 401") == 1, "it is written down once, not at each poll"
    with running(settings) as router:  # nobody listens at the operator's port
        until(lambda: router.log.read_text().count(LINE) > 1, seconds=20, what="it goes on by itself")
        assert revisions_of(router.url, USERS, "x-user") == before
        assert answers_of(router.url, 100).failed == 0
        assert json.loads((router.folder / "state.json").read_text())["generation"] == 2
        (tmp_path / "token").write_text("third-token")
        with split_operator(certificates, token="third-token", port=port) as operator:
            operator.wait_until_in_force(2)
            operator.publish(models.split(generation=3, stable=100))
            operator.wait_until_in_force(3)
            assert set(revisions_of(router.url, USERS, "x-user").values()) == {"stable"}
