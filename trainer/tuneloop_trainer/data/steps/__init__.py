"""The steps between the rows that were read and the rows that are trained on, one a file."""
