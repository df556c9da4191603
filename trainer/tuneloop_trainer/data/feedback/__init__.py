"""Rows of feedback as a source of data: the files that servers have written, made into one file that never changes."""
