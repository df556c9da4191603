"""What is learned: one task a file, with its model and head, its loss and its metrics."""
