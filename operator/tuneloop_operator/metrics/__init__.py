"""The metrics of the operator's process and of its objects."""
