"""The operator: watches the two kinds, decides, and carries out. Decisions are pure; `cluster` is the only door to the API server."""
