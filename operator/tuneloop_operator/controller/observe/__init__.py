"""From stored objects to the frozen values that a decision depends on, one kind a file."""
