"""The command line and local mode: the same manifests, the operator's own code, no cluster."""
