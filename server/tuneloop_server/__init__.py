"""The model server: loads a checked artifact and answers the Hugging Face task API, with dynamic batching and metrics."""

from tuneloop_api.contract.pid1 import end_on_sigterm

end_on_sigterm()
