"""What to do next: pure, one policy a file."""
