"""PID 1 of a router pod: starts Envoy, follows the operator, drains. No request passes through it, and it imports the standard library only."""

import os
import signal

if os.getpid() == 1:
    # The kernel drops a signal for which process 1 has no handler. Until `__main__` waits for it, SIGTERM ends the router at once.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
