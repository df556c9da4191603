"""What triggers would have said in the past: numbers that Prometheus has kept, through the operator's own triggers."""
