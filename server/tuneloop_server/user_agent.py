"""The name by which the comparator asks, so that its requests are not taken for traffic. A file without imports: the comparator knows it, and no model."""

COMPARATOR = "tuneloop-comparator"
