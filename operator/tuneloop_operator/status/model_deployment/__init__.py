"""The status of a ModelDeployment. Pure."""
