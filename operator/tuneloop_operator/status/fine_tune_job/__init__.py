"""The status of a FineTuneJob. Pure."""
