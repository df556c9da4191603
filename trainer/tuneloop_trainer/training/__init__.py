"""Training as one rank of a gang: set-up, loop, step, saves, listeners."""
