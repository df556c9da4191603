"""Manifests from files: read as kubectl reads them, checked by the contract, problems said for a person."""
