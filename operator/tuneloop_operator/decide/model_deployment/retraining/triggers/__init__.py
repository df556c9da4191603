"""What may ask for a retraining: one file a type."""
