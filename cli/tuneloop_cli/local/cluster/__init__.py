"""The API server of local mode: objects as files in one folder, one writer."""
