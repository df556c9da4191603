"""`SECURITY.md` has a table of what a client may cost. Its numbers are those of the files that Envoy reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from splits import document, parsed

from tuneloop_router.envoy_config import Places, bootstrap, routes
from tuneloop_router.envoy_config.overload import heap_bytes
from tuneloop_router.settings import Settings
from tuneloop_router.split import DEFAULT_BODY_BYTES

KIB, MIB = 1024, 1024 * 1024
PAGE = (Path(__file__).parents[3] / "SECURITY.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
TABLE = {name: router for name, _, router, _ in ROWS}
START = bootstrap(
    "reviews",
    Places("/run", "0.0.0.0", 8080, 8081),
    upload_seconds=Settings.upload_seconds,
    most_connections=Settings.most_connections,
    memory_bytes=Settings.memory_bytes,
)
FRONT, METRICS = START["static_resources"]["listeners"]
(HTTP,) = [found["typed_config"] for found in FRONT["filter_chains"][0]["filters"]]
(ROUTES,) = routes(parsed(document(100)))["resources"]
LIMIT = METRICS["filter_chains"][0]["filters"][0]["typed_config"]


def seconds(text: str) -> str:
    return f"{text.removesuffix('s')} s"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("headers with the URL", f"{HTTP['max_request_headers_kb']} KiB and {HTTP['common_http_protocol_options']['max_headers_count']} headers (431)"),
        ("body", f"{DEFAULT_BODY_BYTES / MIB:g} MiB before others (413)"),
        ("time for headers", f"{seconds(HTTP['request_headers_timeout'])} (408)"),
        ("time for the body", f"{seconds(HTTP['request_timeout'])}, with the headers (408)"),
        ("time to read an answer", f"{seconds(ROUTES['virtual_hosts'][0]['routes'][-1]['route']['idle_timeout'])} without a byte"),
        ("time to read an answer", f"holds {FRONT['per_connection_buffer_limit_bytes'] / KIB:g} KiB for each side"),
        ("between two requests", seconds(HTTP["common_http_protocol_options"]["idle_timeout"])),
        ("connections", f"{Settings.most_connections}, further ones are closed; of probes and metrics {LIMIT['max_connections']}"),
    ],
)  # fmt: skip
def test_the_table_has_the_numbers_of_the_configuration(row: str, words: str) -> None:
    assert words in TABLE[row]


def test_the_page_says_how_much_of_the_memory_is_envoys() -> None:
    memory = Settings.memory_bytes
    assert f"Envoy's heap has {heap_bytes(memory) / MIB:g} of the {memory / MIB:g} MiB" in PAGE


@pytest.mark.parametrize(("share", "name"), [
    (85, "http1_server_abort_dispatch"), (95, "http2_server_go_away_and_close_on_dispatch"), (95, "stop_accepting_requests"),
])  # fmt: skip
def test_the_page_says_from_which_share_on_clients_are_refused(share: int, name: str) -> None:
    manager = START["overload_manager"]
    (found,) = [point for point in (*manager["actions"], *manager["loadshed_points"]) if point["name"].endswith(name)]
    (trigger,) = found["triggers"]
    assert trigger.get("threshold", {}).get("value", trigger.get("scaled", {}).get("scaling_threshold")) == share / 100
    assert f"{share} %" in PAGE
