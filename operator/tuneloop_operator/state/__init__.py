"""What is known of an object: what was observed, and how its status is read. Below decide, desired and status."""
