"""What every model on the wire is made of: bases, rules, canonical hashes, quantities, durations, addresses, names."""
