"""The comparator knows the paths of the protocols whose answers it reads without knowing the protocols: the lists are those of their routes."""

from __future__ import annotations

from types import SimpleNamespace

from tuneloop_server.prediction_paths import CHAT_PATH, COMPLETION_PATH, HF_PATHS
from tuneloop_server.protocols import PROTOCOLS
from tuneloop_server.protocols.completions import completion_routes
from tuneloop_server.protocols.hf import HF
from tuneloop_server.tasks.text_generation import TEXT_GENERATION


def test_the_paths_are_those_of_the_protocol_and_of_no_other():
    def posted(protocol):
        return {
            route.path for route in protocol.routes(SimpleNamespace(task=TEXT_GENERATION)) if "POST" in route.methods
        }

    others = [protocol for protocol in PROTOCOLS.values() if protocol is not HF]
    assert posted(HF) == set(HF_PATHS)
    assert not posted(HF) & set().union(*map(posted, others))


def test_the_paths_of_completions_are_those_of_their_routes():
    routes = completion_routes(SimpleNamespace(task=TEXT_GENERATION), protocol="openai")
    assert {route.path for route in routes} == {CHAT_PATH, COMPLETION_PATH}
