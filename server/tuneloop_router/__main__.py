"""`python -m tuneloop_router ROUTER_JSON`: carry requests to the revisions of a deployment until SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_router import settings as settings_module
from tuneloop_router import split as split_module
from tuneloop_router.api_key_file import ApiKeyFile
from tuneloop_router.binary import find_envoy
from tuneloop_router.configuration import Configuration
from tuneloop_router.drain import drain
from tuneloop_router.errors import CannotRun
from tuneloop_router.follow import Follower
from tuneloop_router.log import say
from tuneloop_router.process import start_envoy
from tuneloop_router.settings import Settings
from tuneloop_router.start_split import start_split

if TYPE_CHECKING:
    import subprocess

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_KEYS_SECONDS = 1.0
"""Between two looks at the key file."""
_DRAIN_PAUSE_SECONDS = 0.1
_HELP = f"""\
Starts Envoy, which carries the requests, and tells it where they go. Envoy reads files that this program writes; a change closes no
connection. The operator is asked for changes by a long poll. While it is away, requests go on.

ROUTER_JSON: {settings_module.__doc__}
The file `splitPath`: {split_module.__doc__}
A router starts with the newer of `splitPath` and of FOLDER/state.json, which it keeps itself.

  GET /readyz and /metrics on metricsPort    for probes and Prometheus
  SIGTERM                                    not ready; answers what is under way; ends after quietSeconds to drainSeconds
  SIGTERM again                              ends at once

Exit codes: 0 drained, 1 Envoy has ended, 2 the router cannot start.
"""


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tuneloop_router",
        description="Carry requests to the revisions of a deployment.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", type=Path, metavar="ROUTER_JSON", help="how this router runs")
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # they are waited for in `_watch`
    try:
        settings = Settings.read(arguments.settings)
        program = find_envoy(settings.envoy_path)
        configuration, keys = _written(settings)
    except CannotRun as error:
        print(f"tuneloop-router: {ascii(str(error))[1:-1]}", file=sys.stderr)
        return 2
    envoy = start_envoy(program, settings)
    say(f"started with generation {configuration.split.generation}")
    follower = Follower(settings.operator, configuration)
    threading.Thread(target=follower.run, name="follower", daemon=True).start()
    return _watch(envoy, settings, keys)


def _written(settings: Settings) -> tuple[Configuration, ApiKeyFile]:
    """Write all files that Envoy starts with. Raises CannotRun."""
    configuration = Configuration(settings, start_split(settings))
    keys = ApiKeyFile(settings.api_keys_path, target=settings.places.api_keys)
    try:
        Path(settings.places.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.refresh()
        configuration.write_all()
    except OSError as error:
        raise CannotRun(f"{settings.places.folder}: files cannot be written ({error.strerror})") from error
    return configuration, keys


def _watch(envoy: subprocess.Popen[bytes], settings: Settings, keys: ApiKeyFile) -> int:
    """Wait for the end: of Envoy, or asked for by a signal."""
    while envoy.poll() is None:
        if _stop_within(_KEYS_SECONDS):
            say("draining")
            drain(envoy, settings, interrupted=lambda: _stop_within(_DRAIN_PAUSE_SECONDS))
            return 0
        keys.refresh()
    say(f"Envoy has ended with {envoy.returncode}")
    return 1


def _stop_within(seconds: float) -> bool:
    """Wait for a signal; tell whether it asks for the end."""
    received = signal.sigtimedwait(_SIGNALS, seconds)
    return received is not None and received.si_signo in _STOP


if __name__ == "__main__":
    sys.exit(main())
