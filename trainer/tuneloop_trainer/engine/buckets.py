"""The size of ZeRO's reductions, which the engine is told and the memory plan counts."""

from __future__ import annotations

BUCKET = 10_000_000
"""Gradients that are reduced at a time, at most (`reduce_bucket_size`).

DeepSpeed makes a buffer of this size anew in each step, however small the model is; its default of 5e8 is 2 GB of fp32. 40 MB keep a link between
GPUs busy, and are what Hugging Face's `auto` comes to for a model with a hidden size of 3,200.
"""
