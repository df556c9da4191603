"""The only door to Prometheus. `query` (what is asked) and `answer` (what an answer means) are pure, `address` too; `door` sends.

Why there is no client library: docs/decisions/0046-a-thin-door-to-prometheus.md.
"""
