"""The files that Envoy reads are exactly those of tests/golden/router: TUNELOOP_UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from splits import FULL, document, parsed

from tuneloop_router.envoy_config import Places, api_keys, bootstrap, clusters, routes

GOLDEN = Path(__file__).parents[2] / "golden" / "router"
PLACES = Places("/run/tuneloop", host="0.0.0.0", port=8080, metrics_port=8081)
LOCAL = Places("/run/tuneloop", host="127.0.0.1", port=18080, metrics_port=18081)
ONE = parsed(document(100))
CANARY = parsed(FULL)
THREE = parsed(document(25, 75, 0, generation=13, sticky={"header": "x-user"}))
FILES = {
    "bootstrap": lambda: bootstrap(
        "reviews", PLACES, upload_seconds=30, most_connections=10_000, memory_bytes=512 << 20
    ),
    "on-loopback.bootstrap": lambda: bootstrap(
        "reviews", LOCAL, upload_seconds=30, most_connections=10_000, memory_bytes=512 << 20
    ),
    "on-loopback.routes": lambda: routes(CANARY, hosts=LOCAL.hosts),
    "api-keys": lambda: api_keys(["first-key", "second-key"]),
    "one-revision.clusters": lambda: clusters(ONE, version="1"),
    "one-revision.routes": lambda: routes(ONE),
    "canary.clusters": lambda: clusters(CANARY, version="12"),
    "canary.routes": lambda: routes(CANARY),
    "three-revisions.clusters": lambda: clusters(THREE, version="13"),
    "three-revisions.routes": lambda: routes(THREE),
    "from-one-to-three.clusters": lambda: clusters(THREE, version="13+1", also=[ONE]),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_exactly_as_written_down(name):
    configuration = json.loads(json.dumps(FILES[name]()))
    file = GOLDEN / f"{name}.json"
    if os.environ.get("TUNELOOP_UPDATE_GOLDEN") == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(configuration, indent=1) + "\n", encoding="utf-8")
    assert json.loads(file.read_text(encoding="utf-8")) == configuration
