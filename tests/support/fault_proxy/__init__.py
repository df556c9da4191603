"""A proxy between a client and the API server that makes faults by rules and writes down each call.

    with FaultProxy(control_plane, folder=tmp_path) as proxy:
        start_operator(kubeconfig=proxy.kubeconfig)
        lost = proxy.add(Rule(Match(verb="create", resource="jobs", nth=1), DropAfter()))
        lost.wait()
        ...
        assert tally(proxy.trace)["create", "jobs", namespace, "reviews-a1"] == 1

To its client the proxy is the API server: HTTPS on loopback, with the API server's own certificate. The client's bearer token is passed on,
so that the server's RBAC holds. Rules are data: `rules.py` says what they mean.
"""

from fault_proxy.calls import WRITES, Call, Notification, Target, tally, writes
from fault_proxy.proxy import FaultProxy
from fault_proxy.rulebook import ActiveRule
from fault_proxy.rules import (
    CutWatch,
    Delay,
    DropAfter,
    DropBefore,
    Invoke,
    Kill,
    Match,
    MetCall,
    Rule,
    RuleError,
    ShiftDate,
    SkipEvent,
    StallWatch,
    Status,
    WatchError,
)

__all__ = [
    "WRITES",
    "ActiveRule",
    "Call",
    "CutWatch",
    "Delay",
    "DropAfter",
    "DropBefore",
    "FaultProxy",
    "Invoke",
    "Kill",
    "Match",
    "MetCall",
    "Notification",
    "Rule",
    "RuleError",
    "ShiftDate",
    "SkipEvent",
    "StallWatch",
    "Status",
    "Target",
    "WatchError",
    "tally",
    "writes",
]
