"""The trainer: `prepare`, `train` and `export`. Each does what its RunConfig says."""

from tuneloop_api.contract.pid1 import end_on_sigterm

end_on_sigterm()
