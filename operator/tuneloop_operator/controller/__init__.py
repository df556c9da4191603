"""Stores what the watch reports, reconciles one object after the other, and writes. All other packages are pure or lead to the API server."""
