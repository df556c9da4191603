"""The comparator knows the paths of the Hugging Face task API without knowing the protocol: the list is that of its routes."""

from __future__ import annotations

from types import SimpleNamespace

from tuneloop_server.prediction_paths import HF_PATHS
from tuneloop_server.protocols import PROTOCOLS
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
