"""When a model is trained again, and what becomes of the result. Pure."""
