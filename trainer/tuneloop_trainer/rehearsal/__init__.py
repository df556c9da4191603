"""The dress rehearsal: `prepare` and `plan` go the whole way of a job once, on a few rows and two steps, before any GPU is held."""
