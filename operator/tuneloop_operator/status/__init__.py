"""What the status of our kinds says: pure, computed whole."""
