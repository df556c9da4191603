"""Parts of the manifests of every kind. Pure."""
