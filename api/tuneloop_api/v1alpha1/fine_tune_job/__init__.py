"""The FineTuneJob, one block of its spec or status a file."""
