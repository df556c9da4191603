"""The trainer: `prepare`, `train` and `export`, each told what to do by a RunConfig."""

from tuneloop_api.contract.pid1 import end_on_sigterm

end_on_sigterm()
