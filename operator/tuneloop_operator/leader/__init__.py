"""Which replica may write: the Lease and the election over it."""
