"""What an administrator sets, and where it comes from."""
