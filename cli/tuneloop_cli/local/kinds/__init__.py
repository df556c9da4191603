"""How local mode treats the objects of each kind: how a manifest is fitted to this machine, what submitting it does, what it uses."""
