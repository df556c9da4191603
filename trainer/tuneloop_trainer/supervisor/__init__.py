"""PID 1 of a training pod: starts the ranks, watches them, and reports how they ended. It imports the standard library and the contract only."""
