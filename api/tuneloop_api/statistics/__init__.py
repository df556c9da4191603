"""Exact tests that the operator and the trainer share: pure, the standard library only."""
