"""The only caller of DeepSpeed: forward, backward, step, exact on any number of ranks."""
