"""From source files to tokenized splits on disk: one step a file, in the order of `tuneloop_trainer.prepare`."""
