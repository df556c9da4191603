"""Decisions about a FineTuneJob, one policy a file. Pure."""
