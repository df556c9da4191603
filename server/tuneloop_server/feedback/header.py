"""The header of tokens, by which no protocol's body changes. It stands in a file without imports, since the comparator knows it and not what fills it."""

FEEDBACK_HEADER = "x-tuneloop-feedback"
NONE = "none"
"""A request with this value in the header wants no token, and is in no cohort: those of the comparator, whose answers no client sees."""
