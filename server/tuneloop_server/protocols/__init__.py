"""What clients send and get: one protocol a file, each pure (bytes to a question, predictions to bytes)."""
