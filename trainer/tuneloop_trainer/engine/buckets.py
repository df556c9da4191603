"""The size of ZeRO's reductions: the engine sets it, and the memory plan counts it."""

from __future__ import annotations

BUCKET = 10_000_000
"""Highest number of gradients in one reduction (`reduce_bucket_size`).

DeepSpeed allocates a buffer of this size in every step, however small the model is; its default of 5e8 gradients is 2 GB of fp32. 40 MB keep a
link between GPUs busy. Hugging Face's `auto` gives this value for a model with a hidden size of 3,200.
"""
