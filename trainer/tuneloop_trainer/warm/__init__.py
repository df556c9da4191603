"""A warm process: it has imported what the stages need, and forks one process for each command.

Importing torch, transformers and DeepSpeed takes a rank 6 s of processor time, which is most of a small run on a laptop. A fork needs none of that.
Local mode starts one warm process for each session, on machines without a GPU: a process that has opened a GPU cannot be forked.
"""
