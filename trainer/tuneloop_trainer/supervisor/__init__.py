"""PID 1 of a training pod: starts the ranks, watches them, says how they ended. Standard library and the contract only."""
