"""The comparison with the model that the result is to replace (`evaluation.compareWith`)."""
