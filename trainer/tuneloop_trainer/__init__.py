"""The trainer: `prepare`, `train` and `export`, each told what to do by a RunConfig."""
