"""The prepared data set on the claim: what lies in its folder, and reading it back."""
