"""The manifests of a ModelDeployment's children. Pure."""
