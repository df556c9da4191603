"""What was observed of an object, and how its status is read. Below decide, desired and status."""
