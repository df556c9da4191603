"""Which replica may write, and in which namespaces its release acts: the Leases, and the rules over them."""
