"""Observe, decide, carry out."""
