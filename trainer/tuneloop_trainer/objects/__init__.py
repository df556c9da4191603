"""Object storage: what lies in a bucket becomes files on the claim, and nothing else reads a bucket."""
