"""The prepared data set on the claim: its digest, its shards, its report."""
