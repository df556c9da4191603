"""What computes predictions: torch."""
