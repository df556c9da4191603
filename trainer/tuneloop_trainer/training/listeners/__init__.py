"""Listeners of the training loop: they receive its steps, evaluations and saves, and decide nothing."""
