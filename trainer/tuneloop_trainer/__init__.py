"""The trainer: `prepare`, `train` and `export`, each told what to do by a RunConfig."""

from tuneloop_api.first_process import end_on_sigterm

end_on_sigterm()
