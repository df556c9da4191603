"""Processes of this machine: starting, watching, ending."""
