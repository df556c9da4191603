"""Reads what the watch shows, reconciles one object after the other, writes: the only part that works."""
