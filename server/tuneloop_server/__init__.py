"""The model server: loads a checked artifact and answers the Hugging Face task API, with dynamic batching and metrics."""
