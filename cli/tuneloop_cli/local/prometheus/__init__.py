"""A real Prometheus for local mode, so that gates and triggers read the same numbers as in a cluster; nothing here knows PromQL."""
