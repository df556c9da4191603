"""From spec to manifest: pure, one kind a file."""
