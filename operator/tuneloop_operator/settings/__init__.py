"""Settings of the operator, and how they are read."""
