"""Checks before any GPU is held: whether a rank fits into its memory, whether the claim has room, and which settings would fit."""
