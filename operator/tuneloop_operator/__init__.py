"""The operator: watches the two kinds, decides, and carries out. Decisions are pure; `cluster` is the only door to the API server."""

from tuneloop_api.contract.pid1 import end_on_sigterm

end_on_sigterm()
