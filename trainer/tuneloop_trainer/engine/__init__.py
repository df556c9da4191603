"""The only caller of DeepSpeed. Forward, backward and step give the same numbers on any number of ranks."""
