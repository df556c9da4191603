"""The search for the best values of some fields: trials one after another in the same gang, on the same prepared data."""
