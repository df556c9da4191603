"""What is measured of a text and of what a model says about it, in plain Python: the trainer computes it for held-out rows, the server for live texts."""
