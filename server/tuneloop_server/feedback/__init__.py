"""Feedback without state: each prediction goes out with a signed token, and comes back with the label that was right. Nothing of a request is stored; what is kept are counts of eight days."""
