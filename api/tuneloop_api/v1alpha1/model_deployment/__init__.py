"""The ModelDeployment."""
