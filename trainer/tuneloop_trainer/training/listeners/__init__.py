"""Listeners of the training loop: they are told of steps, evaluations and saves, and decide nothing."""
