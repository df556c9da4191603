"""What can be known before any GPU is held: the memory of a rank, the room on the claim, and what would fit where they do not."""
