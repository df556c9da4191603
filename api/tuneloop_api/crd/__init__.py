"""The generator of the custom resource definitions."""
