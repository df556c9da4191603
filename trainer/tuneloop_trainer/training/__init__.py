"""The training of one rank: its set-up, its loop, its step, its saves."""
