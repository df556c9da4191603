"""Manifests from files: read as kubectl reads them, checked against the contract, with problems explained to a person."""
