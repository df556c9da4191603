"""The routers of deployments: what each follows, and the long poll by which it gets the next split."""
