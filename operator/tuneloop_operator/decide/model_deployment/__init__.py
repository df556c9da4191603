"""Decisions about a ModelDeployment. Pure."""
