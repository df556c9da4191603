"""A router reports how many requests each revision has answered since the split is in force: exactly as the clients counted."""

from __future__ import annotations

import signal
import socket

from router_process import answers_of, running, settings_file
from split_operator import following, split_operator
from waiting import until

from tuneloop_router.admin import Admin


def test_a_revision_has_the_requests_that_its_clients_got_from_it(stage):
    stage.publish(canary=30, stable=70)
    answers = answers_of(stage.router.url, 400)
    assert answers.failed == 0
    assert stage.operator.requests() == answers.revisions


def test_a_new_split_counts_from_0(stage):
    stage.publish(canary=50, stable=50)
    answers_of(stage.router.url, 40)
    stage.publish(canary=0, stable=100)
    assert stage.operator.requests() == {"canary": 0, "stable": 0}
    answers_of(stage.router.url, 25)
    assert stage.operator.requests() == {"canary": 0, "stable": 25}


def test_a_revision_that_is_away_for_a_split_comes_back_with_its_new_requests_alone(stage):
    stage.publish(canary=100, stable=0)
    answers_of(stage.router.url, 30)
    stage.publish(stable=100)
    assert stage.operator.requests() == {"stable": 0}
    stage.publish(canary=100, stable=0)
    answers_of(stage.router.url, 7)
    assert stage.operator.requests() == {"canary": 7, "stable": 0}


def test_a_request_that_is_tried_again_counts_once_for_the_revision_that_answered(stage):
    stage.publish(canary=100, stable=0)
    with stage.models["canary"].answering(503):
        answers = answers_of(stage.router.url, 60)
    assert answers.revisions == {"stable": 60}
    assert stage.operator.requests() == {"canary": 0, "stable": 60}


def test_an_error_of_the_model_is_an_answer(stage):
    stage.publish(canary=100, stable=0)
    with stage.models["canary"].answering(500):
        assert answers_of(stage.router.url, 20).outcomes == {"500": 20}
    assert stage.operator.requests() == {"canary": 20, "stable": 0}


def test_a_client_that_leaves_before_its_answer_is_not_counted(stage):
    stage.publish(canary=100, stable=0)
    unanswered = Admin(str(stage.router.folder / "admin.sock"))

    def left() -> int:
        return sum(map(int, unanswered.matching(r"router\.requests_total\..*\.code\.0").values()))

    before = left()
    with socket.create_connection(("127.0.0.1", stage.router.port)) as client:
        head = f"GET /?delay_ms=2000 HTTP/1.1\r\nhost: 127.0.0.1:{stage.router.port}\r\n\r\n"
        count = stage.models["canary"].last()["count"]
        client.sendall(head.encode())
        until(lambda: stage.models["canary"].last()["count"] > count, seconds=10, what="the request is under way")
    until(lambda: left() > before, seconds=10, what="Envoy notices")
    assert stage.operator.requests() == {"canary": 0, "stable": 0}


def test_a_router_that_begins_again_counts_from_0(models, certificates, tmp_path):
    (tmp_path / "token").write_text("t")
    with split_operator(certificates, token="t") as operator:
        settings = settings_file(
            tmp_path, models.split(canary=50, stable=50), operator=following(tmp_path, operator, certificates)
        )
        with running(settings) as router:
            until(lambda: operator.reports, seconds=20, what="the first report, which counts nothing")
            answers_of(router.url, 20)
            assert sum(operator.requests().values()) == 20
            router.process.send_signal(signal.SIGKILL)
        operator.reports.clear()
        with running(settings) as router:
            answers_of(router.url, 8)
            until(lambda: operator.reports, seconds=20, what="the router reports again")
            assert sum(operator.requests().values()) == 8
