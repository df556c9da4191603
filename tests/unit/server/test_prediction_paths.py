"""The comparator knows the paths of predictions without knowing the protocols: the list is that of their routes."""

from __future__ import annotations

from types import SimpleNamespace

from tuneloop_server.protocols import PROTOCOLS
from tuneloop_server.protocols.paths import PREDICTION_PATHS


def test_the_paths_of_predictions_are_those_of_all_protocols():
    routes = [route for protocol in PROTOCOLS.values() for route in protocol.routes(SimpleNamespace())]
    assert {route.path for route in routes if "POST" in route.methods} == PREDICTION_PATHS
