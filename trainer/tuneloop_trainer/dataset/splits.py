"""The three splits of a data set."""

from __future__ import annotations

SPLITS = ("train", "validation", "test")
